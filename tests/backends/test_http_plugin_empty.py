"""The ways in which plugins say "no parameter sets": `http-plugin` takes an empty list, and others when told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from appset_hub import BackendFault

from tests.backends.plugin_rig import RawPlugin, attached, configure, ok

if TYPE_CHECKING:
    from pathlib import Path

FORMS = {
    "accept_null_parameters": b'{"output":{"parameters":null}}',
    "accept_missing_parameters": b'{"output":{}}',
    "accept_null_output": b'{"output":null}',
    "accept_missing_output": b"{}",
}

GO_STRUCTS = {
    "accept_null_parameters": b'{"Output":{"Parameters":null},"Error":""}',
    "accept_missing_parameters": b'{"Output":{},"Warnings":null}',
    "accept_null_output": b'{"Output":null,"Error":""}',
    "accept_missing_output": b'{"Error":"","Count":0}',
}


async def test_a_go_struct_without_tags_is_an_answer(tmp_path: Path) -> None:
    plugin = RawPlugin(ok(b'{"Output":{"Parameters":[{"a":"b","A":"c"}]}}'))
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
        assert await hub.ask("set") == [{"a": "b", "A": "c"}]


@pytest.mark.parametrize("setting", FORMS)
@pytest.mark.parametrize("forms", [FORMS, GO_STRUCTS], ids=["bare", "a Go struct"])
async def test_another_form_of_nothing_is_an_error_that_names_its_setting(
    setting: str, forms: dict[str, bytes], tmp_path: Path
) -> None:
    plugin = RawPlugin(ok(forms[setting]))
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
        with pytest.raises(BackendFault, match=f'"no parameter sets", set {setting}: true$'):
            await hub.ask("set")


@pytest.mark.parametrize("setting", FORMS)
@pytest.mark.parametrize("forms", [FORMS, GO_STRUCTS], ids=["bare", "a Go struct"])
async def test_a_setting_takes_its_own_form_for_nothing_and_no_other(
    setting: str, forms: dict[str, bytes], tmp_path: Path
) -> None:
    plugin = RawPlugin()
    path = tmp_path / "http-plugin.yaml"
    async with plugin.serving():
        path = configure(tmp_path, f"http://127.0.0.1:{plugin.port}", f"{setting}: true\n")
        async with attached(path) as hub:
            for form, body in forms.items():
                plugin.response = ok(body)
                if form == setting:
                    assert await hub.ask("set") == []
                else:
                    with pytest.raises(BackendFault, match=f"set {form}: true$"):
                        await hub.ask("set")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"parameters":[{"a":"x"}]}', id="sets at the root"),
        pytest.param(b'{"output":{"params":[{"a":"x"}]}}', id="sets under another name"),
        pytest.param(b'{"output":{"parameters":null,"items":[{"a":"x"}]}}', id="sets beside null"),
        pytest.param(b'{"output":{},"parameters":[{"a":"x"}]}', id="sets beside an empty output"),
        pytest.param(b'{"output":null,"parameters":[{"a":"x"}]}', id="sets beside a null output"),
        pytest.param(b'{"output":{"parameters":null},"warnings":["page 2 failed"]}', id="a warning"),
        pytest.param(b'{"error":"db down"}', id="an error"),
        pytest.param(b'{"Error":"db down","output":{}}', id="an error in another spelling"),
        pytest.param(b'{"output":{"parameters":[{"a":"x"}]},"Output":{}}', id="two spellings"),
        pytest.param(b'{"output":{"parameters":[{"a":"x"}],"PARAMETERS":null}}', id="two spellings inside"),
        pytest.param(b"null", id="null alone"),
        pytest.param(b"", id="an empty body"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"output":[]}', id="a list as output"),
        pytest.param(b'{"output":{"parameters":{}}}', id="an object as list"),
        pytest.param(b'{"output":{"parameters":""}}', id="a text as list"),
        pytest.param(b'{"output":{"parameters":[null]}}', id="a list of null"),
    ],
)
async def test_what_may_have_lost_sets_is_an_error_whatever_the_settings_say(body: bytes, tmp_path: Path) -> None:
    plugin = RawPlugin(ok(body))
    everything = "".join(f"{setting}: true\n" for setting in FORMS)
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}", everything)) as hub:
        with pytest.raises(BackendFault) as refused:
            await hub.ask("set")
    assert "accept_" not in str(refused.value)
