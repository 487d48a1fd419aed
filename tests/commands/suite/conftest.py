import pytest

from tests.commands.suite.tables import toy_table, write_suite


@pytest.fixture(scope="session")
def table():
    return toy_table()


@pytest.fixture(scope="session")
def suite(table, tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("suite"), table)
