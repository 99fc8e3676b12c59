from numba import njit

from problems.noc.chip import jit


def double(x):
    return 2 * x


def test_compiled_code_is_cached():
    assert jit.compiled(double)(4) == 8
    assert jit.compiled(double).stats.cache_path


def test_where_no_folder_can_be_written_the_code_still_compiles(monkeypatch):
    def refuse(*args, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(jit, "njit", refuse)
    assert jit.compiled(double)(4) == 8
