"""Settings: flags, variables, and what is refused in one line."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.__main__ import main
from app.settings import NOT_OURS, PREFIX, Settings, SettingsError, read_settings

MALFORMED = [
    ("port", "eighty"),
    ("port", "65536"),
    ("port", "-1"),
    ("port", ""),
    ("threads", "0"),
    ("decoders", "0"),
    ("max_image_bytes", "1e9"),
    ("max_pixels", "90000000"),
    ("min_side_px", "0"),
    ("max_images", "0"),
    ("keep_alive_s", "0"),
    ("grace_s", "0"),
    ("drain_s", "inf"),
    ("hung_s", "nan"),
    ("log_level", "loud"),
]


def variable(name: str) -> str:
    return PREFIX + name.upper()


def test_defaults() -> None:
    settings = read_settings({}, environment={})
    assert (settings.host, settings.port, settings.device, settings.threads) == ("127.0.0.1", 8000, "auto", None)
    assert settings.weights.name == "experiment-12.safetensors"


def test_variable_sets_a_value() -> None:
    settings = read_settings({}, environment={"FACEPAIR_PORT": "9000", "FACEPAIR_WEIGHTS": "some.safetensors"})
    assert (settings.port, settings.weights) == (9000, Path("some.safetensors"))


def test_default_environment_is_the_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.setenv("FACEPAIR_PORT", "9000")
    assert read_settings({}).port == 9000
    assert read_settings({}, environment={}).port == 8000


def test_a_flag_wins_over_its_variable() -> None:
    settings = read_settings({"port": "7000"}, environment={"FACEPAIR_PORT": "9000", "FACEPAIR_MAX_IMAGES": "3"})
    assert (settings.port, settings.max_images) == (7000, 3)


@pytest.mark.parametrize("name", ["FACEPAIR_PROT", "FACEPAIR_", "FACEPAIR_MODEL_CONFIG", "facepair_prot"])
def test_an_unknown_variable_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({}, environment={name: "SECRET"})
    message = str(caught.value)
    assert message.startswith(f"{name} is not a setting")
    assert "FACEPAIR_PORT" in message
    assert "\n" not in message
    assert "SECRET" not in message


def test_other_variables_are_ignored() -> None:
    environment = {"PATH": "/bin", "PORT": "1", "FACEPAIRS": "2", **dict.fromkeys(NOT_OURS, "/data")}
    assert read_settings({}, environment=environment) == read_settings({}, environment={})


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_value_is_refused_in_one_line(name: str, value: str) -> None:
    for flags, environment in (({name: value}, {}), ({}, {variable(name): value})):
        with pytest.raises(SettingsError) as caught:
            read_settings(flags, environment=environment)
        message = str(caught.value)
        assert message.startswith(f"{variable(name)} (--{name.replace('_', '-')}): ")
        assert "\n" not in message


def test_every_setting_has_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_help_names_every_flag_with_its_variable_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert f"{field.description} ({variable(name)};".replace(" ", "") in text.replace(" ", "")


def test_settings_cannot_be_changed() -> None:
    settings = read_settings({}, environment={})
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]  # that it cannot be assigned is the point
