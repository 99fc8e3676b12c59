"""Engineering problems: formulas against published designs, variables, and constraints."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.variable import Choice, Integer, Real
from pymoo.optimize import minimize

from moela import MOELA
from moela.quality.indicators import hypervolume
from problems import engineering
from problems.engineering.best_known import BEST_KNOWN

PROBLEMS = {name: getattr(engineering, name)() for name in engineering.__all__}

# Designs of the literature: values of the variables in order, objectives as published, with the
# digits that were published, and the index of constraints that are active there.
PUBLISHED = {
    # The four-bar truss at its lower bounds: twice 10 kN * 200 cm / 2e5 (2 + 2) = 0.04 cm.
    "FourBarTruss": ([1.0, 2**0.5, 2**0.5, 1.0], [1237.8, 0.04], 1e-4, []),
    # The end of the front that Deb et al. 2002 (NSGA-II) report: 8,432.7 kPa.
    "TwoBarTruss": ([0.01, 0.01, 3.0], [0.0816, 8432.7], 1e-3, []),
    # Optimum of cost of Deb 2000, 2.38119; shear stress, weld and buckling are active.
    "WeldedBeam": ([0.2444, 6.2187, 8.2915, 0.2444], [2.3812, 0.0158], 2e-3, [0, 2]),
    # Lightest brake of Ray and Liew 2002: 0.1274 kg, 16.65 s; the ring is as narrow as it may be.
    "DiscBrake": ([55.0, 75.0, 3000.0, 2], [0.1274, 16.655], 1e-3, [0]),
    # Sandgren's spring as improved since: 2.6586 in^3; its stress is 1,008.81 psi below the limit.
    "HelicalSpring": ([9, 0.283, 1.223041], [2.6586, 189000 - 1008.81], 1e-4, []),
    # Optimum of cost since Kannan and Kramer: 6,059.714 at the volume 1,296,000 in^3.
    "PressureVessel": ([13, 7, 42.098446, 176.636596], [6059.714, -1296000], 1e-5, [0]),
    # Optimum of weight of Golinski's reducer: 2,994.47; deflection and stress of shafts are active.
    "SpeedReducer": (
        [3.5, 0.7, 17, 7.3, 7.71532, 3.350215, 5.286654],
        [2994.47, 1100.0],
        1e-4,
        [5, 8],
    ),
    # Best gear train of Kannan and Kramer's problem: 16 * 19 / (43 * 49) = 0.1442810.
    "GearTrain": ([16, 19, 43, 49], [7.9e-5, 49], 0.02, []),
    # Amir and Hasegawa's beam: 359.2080.
    "ConcreteBeam": ([6.32, 8.5, 34.0], [359.208, 0.0], 1e-5, []),
    # Ideal mass of Liao et al.'s vehicle, with all parts at 1 mm.
    "VehicleFront": ([1.0] * 5, [1661.7078, 8.3046, 0.0708], 1e-3, []),
    # The corner of Jain and Deb's car with all thicknesses at their lower bounds.
    "CarSideImpact": ([0.5, 0.45, 0.5, 0.5, 0.875, 0.4, 0.4], [15.576, 4.427, 13.091], 1e-4, []),
}


def design(problem, values):
    if all(isinstance(v, Real) for v in problem.variables.values()):
        return np.array([values], dtype=float)
    return np.array([dict(zip(problem.variables, values, strict=True))])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_designs_have_their_published_objectives(name):
    values, expected, tolerance, active = PUBLISHED[name]
    problem = PROBLEMS[name]
    out = problem.evaluate(design(problem, values), return_as_dictionary=True)
    np.testing.assert_allclose(out["F"][0], expected, rtol=tolerance, atol=1e-4)
    for i in active:  # by the digits of the design
        assert abs(out["G"][0, i]) < 2e-3


@pytest.mark.parametrize("name", PROBLEMS)
def test_variables_keep_their_types_in_a_run(name):
    problem = PROBLEMS[name]
    result = minimize(problem, MOELA(n_subproblems=20), ("n_eval", 60), seed=1)
    for individual in result.pop:
        x = individual.X
        if not isinstance(x, dict):
            continue
        for key, variable in problem.variables.items():
            match variable:
                case Integer():
                    assert float(x[key]).is_integer()
                case Choice():
                    assert x[key] in list(variable.options)
                case Real():
                    assert variable.bounds[0] <= x[key] <= variable.bounds[1]
    assert problem.n_obj == len(problem.objective_names)
    assert problem.n_ieq_constr == len(problem.constraint_names)


@pytest.mark.parametrize("name", BEST_KNOWN)
def test_no_run_is_better_than_the_best_known_front(name):
    problem = PROBLEMS[name]
    result = minimize(problem, MOELA(n_subproblems=20), ("n_eval", 100), seed=2)
    if result.F is None:
        return
    # The fronts are approximations, except that of the gears; 0.02 % is their resolution.
    value = hypervolume(np.atleast_2d(result.F), problem.ref_point)
    assert value <= 1.0002 * problem.best_hypervolume


def test_no_spring_of_a_fine_grid_is_better_than_the_best_known_front():
    problem = PROBLEMS["HelicalSpring"]
    axes = np.arange(1, 33), problem.variables["wire"].options, np.linspace(1.0, 3.0, 2_000)
    values = dict(zip(problem.variables, map(np.ravel, np.meshgrid(*axes)), strict=True))
    F, G = (np.column_stack(part) for part in problem._formulas(values))
    value = hypervolume(F[(G <= 0).all(axis=1)], problem.ref_point)
    assert 0.998 <= value / problem.best_hypervolume <= 1.0001


def test_a_brake_of_negative_width_has_the_published_time_and_moderate_violations():
    brake = design(PROBLEMS["DiscBrake"], [80.0, 75.0, 3000.0, 2])
    out = PROBLEMS["DiscBrake"].evaluate(brake, return_as_dictionary=True)
    published = 9.82e6 * (75.0**2 - 80.0**2) / (3000.0 * 2 * (75.0**3 - 80.0**3))
    np.testing.assert_allclose(out["F"][0, 1], published)
    assert np.abs(out["G"]).max() < 1000.0
    assert out["G"][0, 3] > 0.0  # such a brake is too hot


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("GearTrain", {"first": 16.5}, "'first' of GearTrain must be a whole number. Got 16.5"),
        ("HelicalSpring", {"wire": 0.3}, "'wire' of HelicalSpring must be one of .* Got 0.3"),
        (
            "GearTrain",
            {"first": None},
            "'first' of GearTrain must be a number. Got None in design 0",
        ),
        ("GearTrain", {"fifth": 1}, "a dictionary with first, second, third, fourth. Got"),
    ],
)
def test_designs_that_cannot_be_built_are_named(name, change, message):
    problem = PROBLEMS[name]
    known = dict(zip(problem.variables, PUBLISHED[name][0], strict=True))
    with pytest.raises(ValueError, match=message):
        problem.evaluate(np.array([known | change]))


def test_rows_of_numbers_are_checked_like_dictionaries():
    gears, beam = PROBLEMS["GearTrain"], PROBLEMS["WeldedBeam"]
    known = dict(zip(gears.variables, (16, 19, 43, 49), strict=True))
    whole = gears.evaluate(np.array([[16.0, 19.0, 43.0, 49.0]]))[0]
    np.testing.assert_array_equal(whole, gears.evaluate(np.array([known]))[0])
    with pytest.raises(ValueError, match=r"'third' of GearTrain must be a whole number. Got 43.5"):
        gears.evaluate(np.array([[16.0, 19.0, 43.5, 49.0]]))
    with pytest.raises(ValueError, match=r"shape \[n, 4\], or be dictionaries. Got shape \(2, 8\)"):
        beam.values(np.ones((2, 8)))
    with pytest.raises(ValueError, match=r"of WeldedBeam must be a number. Got .* in design 0"):
        beam.values([[1.0, 2.0, "a", 3.0]])
