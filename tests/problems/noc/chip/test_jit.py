from problems.noc.chip import jit


def double(x):
    return 2 * x


def test_compiled_code_is_cached():
    assert jit.compiled(double)(4) == 8
    assert jit.compiled(double).stats.cache_path


def test_code_without_counts_of_references_is_cached():
    assert jit.lean(double)(4) == 8
    assert jit.lean(double).stats.cache_path
