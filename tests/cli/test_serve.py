"""Options of `softcloze serve`; tests/service has the service."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from softcloze.cli.app import app
from softcloze.service import settings as module
from softcloze.service.settings import ServiceSettings

LIMITS = {
    "max_batch_tokens": 11,
    "max_new_tokens": 12,
    "max_request_new_tokens": 13,
    "prefix_memory": 14,
    "max_wait": 1.5,
    "deadline": 1.6,
}


@pytest.mark.parametrize("by_environment", [False, True])
def test_limits_of_options_and_environment_are_those_of_the_service(by_environment, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(module, "ServiceSettings", lambda **given: made.append(ServiceSettings(**given)))
    options = [word for name, value in LIMITS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    environment = {f"SOFTCLOZE_{name.upper()}": str(value) for name, value in LIMITS.items()}
    command = ["serve", str(tmp_path / "nowhere"), *([] if by_environment else options)]
    assert CliRunner().invoke(app, command, env=environment if by_environment else {}).exit_code != 0  # no registry
    assert made == [replace(ServiceSettings(hosts=made[0].hosts), **LIMITS | {"prefix_memory": 14 * 2**20})]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "a.example"])
def test_other_machines_are_let_in_with_a_token_or_open_alone(host, tmp_path):
    def fault(*options, **environment):
        result = CliRunner().invoke(app, ["serve", str(tmp_path / "nowhere"), *options], env=environment)
        return f"{result.output} {result.exception}"

    assert "give a token by --token-file or SOFTCLOZE_TOKEN" in fault("--host", host)
    for options, environment in (
        (("--host", host, "--open"), {}),
        (("--host", host), {"SOFTCLOZE_TOKEN": "s3cret"}),
        (("--host", "127.0.0.2"), {}),
    ):
        assert "there is no folder" in fault(*options, **environment)
