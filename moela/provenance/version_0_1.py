"""The classes of version 0.1 and their attributes: frozen tables, read by `renames`.

These tables were written from version 0.1 and never change, except that a class which was removed
without a successor is deleted. They list only classes that can be part of a setting. All names are
those of version 0.1.
"""

from __future__ import annotations

MODULES = {
    "moela.algorithm": "MOELA",
    "moela.base": "ArchiveAlgorithm",
    "moela.encode": "Encoder",
    "moela.operators": "Operators",
    "moela.published": "PublishedMOELA",
    "moela.recording": "External",
    "moela.rivals.batch_moead": "BatchMOEAD",
    "moela.rivals.momad": "MOMAD",
    "moela.rivals.moo_stage": "MOOSTAGE",
    "moela.rivals.moos": "MOOS",
    "moela.seen": "Seen",
    "moela.termination": "ElapsedTime",
    "moela.testing.toys": (
        "ToyReal ToyInteger ToyBinary ToyPermutation ToyConstrained ToyInfeasible ToyMixed"
    ),
    "problems.classic.base": "ClassicProblem",
    "problems.classic.bit_operators": "BitSampling BitCrossover BitMutation",
    "problems.classic.designs": "Assignment Packing BitString",
    "problems.classic.front": "KnownFront",
    "problems.classic.knapsack": "MultiObjectiveKnapsack",
    "problems.classic.knapsack_operators": (
        "GreedySampling GreedyRepair PackingCrossover PackingMutation"
    ),
    "problems.classic.mnk": "MNKLandscape",
    "problems.classic.permutation_operators": "PermutationSampling CycleCrossover ExchangeMutation",
    "problems.classic.qap": "MultiObjectiveQAP",
    "problems.moe.base": "MoEProblem",
    "problems.moe.buffering": "BufferPlan ExpertBuffering",
    "problems.moe.deployment": "MoEDeployment",
    "problems.moe.deployment_layout": "Layout",
    "problems.moe.deployment_operators": (
        "DeploymentSampling DeploymentCrossover DeploymentMutation"
    ),
    "problems.moe.deployment_setup": "Placed",
    "problems.moe.gate_levels": "GateLevels",
    "problems.moe.gating": "GatePlan GatingThresholds",
    "problems.moe.ladders": "LadderProblem LadderSampling LadderCrossover LadderMutation",
    "problems.moe.measured_quality": "MeasuredLoss",
    "problems.moe.placement": "ExpertPlacement",
    "problems.moe.placement_operators": "PlacementSampling PlacementCrossover PlacementMutation",
    "problems.moe.placement_starts": "StartMaker",
    "problems.noc.design": "Design",
    "problems.noc.evaluation": "Evaluation",
    "problems.noc.features": "FeaturePlan Counts",
    "problems.noc.moves": "Network",
    "problems.noc.operators": "NoCSampling NoCCrossover NoCMutation",
    "problems.noc.pe_type": "PEType",
    "problems.noc.platform": "Platform",
    "problems.noc.problem": "NoC3D",
    "problems.noc.stack": "ThermalStack",
    "problems.noc.tables": "Tables",
    "moe_costmodel.apply": "PlannedLayer AppliedPlan",
    "moe_costmodel.balance_search": "OptimalPlacement",
    "moe_costmodel.buffer_cost": "BufferCost",
    "moe_costmodel.buffering": "ExpertStream MissCurves",
    "moe_costmodel.characterise": "TraceDescription",
    "moe_costmodel.deployment": "DeploymentModel",
    "moe_costmodel.deployment_layers": "Steps LayerSteps LayerCosts",
    "moe_costmodel.evaluation": "Evaluation",
    "moe_costmodel.export": "Export",
    "moe_costmodel.families": "Family",
    "moe_costmodel.gate_rules": "GateRule",
    "moe_costmodel.hardware": "Link Hardware",
    "moe_costmodel.latency": "ShapeError FitReport Prediction LatencyModel",
    "moe_costmodel.latency_estimators": "RoundsModel Estimator",
    "moe_costmodel.latency_features": "Points Roofline",
    "moe_costmodel.layer_table": "LayerTable",
    "moe_costmodel.measurements": "Record Measurements",
    "moe_costmodel.objectives": "Objective Predicted",
    "moe_costmodel.placement": "Placement",
    "moe_costmodel.plan": "Plan",
    "moe_costmodel.quality": "GateMass LossUnderRule LossMeter",
    "moe_costmodel.shapes": "LayerShape",
    "moe_costmodel.step": "RestOfModel MemoryModel StepModel",
    "moe_costmodel.tables": "Peaks KernelTable",
    "moe_costmodel.trace": "RoutingTrace",
    "moe_costmodel.verify": "Verified",
    "moe_costmodel.work": "Work",
}
"""By module: the public classes defined in it, separated by spaces."""

CLASSES = {
    f"{module.partition('.')[0]}.{name}": module
    for module, names in MODULES.items()
    for name in names.split()
}
"""By public name of a class: its module."""

STATE_OF_ALL = "front n_answered seen"
"""Attributes of every algorithm that version 0.1 signed as settings, although they are state."""

STATE = {
    "moela.BatchMOEAD": "frame members waiting",
    "moela.MOELA": (
        "assistance describe descends_on evolution kicking log n_regions ranking region restarting "
        "screen searches starts turns unsettled whole"
    ),
    "moela.MOMAD": "exploring frame home_of members phase promising searches",
    "moela.MOOS": "frame leaves n_splits searched searches sweep_best sweep_depth",
    "moela.MOOSTAGE": "examples frame model n_fitted n_learned n_rows searches",
    "moela.PublishedMOELA": (
        "children_left clusters forest frame generation home labels rows searches searches_due "
        "subproblems visited"
    ),
}
"""By class: more such attributes."""
