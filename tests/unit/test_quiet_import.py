import importlib
import os
import subprocess
import sys

import pytest

from blood_cell_system.pipeline.model_slots import bundled_segmenter
from blood_cell_system.quiet_import import import_tensorflow


def chatting(*, fails):
    def import_module(name):
        assert name == "tensorflow"
        os.write(2, b"built with care\n")
        if fails:
            raise ImportError("no such library")

    return import_module


def test_what_the_libraries_write_while_loading_is_not_shown(monkeypatch, capfd):
    monkeypatch.setattr(importlib, "import_module", chatting(fails=False))
    import_tensorflow()
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_it_is_shown_when_loading_fails(monkeypatch, capfd):
    monkeypatch.setattr(importlib, "import_module", chatting(fails=True))
    with pytest.raises(ImportError, match="no such library"):
        import_tensorflow()
    assert capfd.readouterr().err == "built with care\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "import blood_cell_system.networks.architectures",
        "from blood_cell_system import BloodCellAnalysisSystem as S; S().build_all_models()",
    ],
)
def test_scripts_are_free_of_notes_too(statement):
    pytest.importorskip("tensorflow", reason="needs the [train] extra")
    done = subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, timeout=120, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_openvino_sends_nothing():
    pytest.importorskip("openvino", reason="of the extra [openvino]")
    script = (
        "import sys\n"
        "from blood_cell_system.networks.exported.openvino_ir import shared_core\n"
        "assert shared_core().available_devices\n"
        "assert 'openvino' in sys.modules\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])\n"
    )
    # In CI it sends nothing anyway.
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_onnx_runtime_keeps_nothing_about_its_user(tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    script = (
        "import sys, time\n"
        "from blood_cell_system.analysis.trained_models import load_runtime\n"
        "load_runtime(sys.argv[1])\n"
        "time.sleep(1)\n"
    )
    places = {"HOME": str(home), "TMPDIR": str(temporary), "TMP": str(temporary)}
    places |= {"USERPROFILE": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    subprocess.run(
        [sys.executable, "-c", script, str(bundled_segmenter())],
        env=environment | places,
        check=True,
        timeout=120,
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
