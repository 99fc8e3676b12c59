import pytest

from moe_costmodel import ModelShape, SiliconModel
from tests.moe_costmodel.silicon.tables import CONFIG, LATENT, write_tables


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """A toy GPU with the tables that every GPU has."""
    pytest.importorskip("pyarrow")
    return SiliconModel("toy", "sglang", root=write_tables(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="session")
def latent():
    return ModelShape.from_config(LATENT)


@pytest.fixture(scope="session")
def experts():
    return ModelShape.from_config(CONFIG)
