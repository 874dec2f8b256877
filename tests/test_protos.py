"""The protos as callers get them: they resolve by themselves, keep what was released, and are in the wheel
(tests/test_package.py). Does not test what the stubs made of them do.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import code_pb2, error_details_pb2, status_pb2

from generated.buf.validate import validate_pb2
from tests.processes import run

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
RELEASED = ROOT / "tests" / "golden" / "released.binpb"
BUF = Path(sys.executable).parent / "buf"


def buf(*arguments: object, cwd: Path = PROTO) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


def protoc(folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    sources = [str(path.relative_to(folder)) for path in (folder / "parley").rglob("*.proto")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", "-I", "third_party"]
    return subprocess.run(
        [*command, f"--descriptor_set_out={target}", *sources],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def breaking(folder: Path) -> str:
    """What `buf breaking` says of the protos in a folder."""
    image = folder / "now.binpb"
    assert buf("build", "-o", image, cwd=folder).returncode == 0
    found = buf("breaking", image, "--against", RELEASED, "--config", PROTO / "buf.yaml", "--path", "parley")
    assert found.stderr == ""
    return found.stdout


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the protos, to be changed."""
    return shutil.copytree(PROTO, tmp_path / "proto")


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


async def test_written_protos_resolve_by_buf_and_by_protoc(tmp_path):
    out = tmp_path / "protos"
    ended = await run("parley", "protos", "--out", out)
    built = buf("build", cwd=out)
    compiled = protoc(out, tmp_path / "all.binpb")

    assert (ended.code, ended.err) == (0, "")
    assert (built.returncode, built.stderr) == (0, "")
    assert (compiled.returncode, compiled.stderr) == (0, "")
    assert sorted(path.name for path in out.glob("buf.gen.*.yaml")) == [
        f"buf.gen.{language}.yaml" for language in ("go", "java", "python", "typescript")
    ]
    assert "buf.gen.LANGUAGE.yaml (go, java, python, typescript)\n" in ended.out


async def test_folder_that_is_not_empty_is_left_as_it_is(tmp_path):
    (tmp_path / "mine").touch()
    ended = await run("parley", "protos", "--out", tmp_path)

    assert ended.code != 0
    assert ended.err == f"Error: --out {tmp_path} is not empty; name a new or an empty folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_vendored_imports_are_those_that_the_server_runs_with(tmp_path):
    image = tmp_path / "image.binpb"
    buf("build", "--exclude-source-info", "-o", image)
    files = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file}
    pool = descriptor_pool.Default()
    vendored = [str(path.relative_to(PROTO / "third_party")) for path in PROTO.glob("third_party/**/*.proto")]

    assert all((code_pb2, error_details_pb2, status_pb2, validate_pb2))  # which puts them into the pool
    assert len(vendored) > 5
    for name in vendored:
        served = descriptor_pb2.FileDescriptorProto()
        pool.FindFileByName(name).CopyToProto(served)
        assert [m.name for m in files[name].message_type] == [m.name for m in served.message_type], name
        assert [[(f.name, f.number, f.type) for f in m.field] for m in files[name].message_type] == [
            [(f.name, f.number, f.type) for f in m.field] for m in served.message_type
        ], name


def test_every_file_names_its_package_in_every_language():
    options = (
        "csharp_namespace",
        "go_package",
        "java_multiple_files",
        "java_outer_classname",
        "java_package",
    )
    options += ("objc_class_prefix", "php_namespace", "ruby_package")
    missing = [
        f"{path.name}: {option}"
        for path in (PROTO / "parley").rglob("*.proto")
        for option in options
        if f"option {option} = " not in path.read_text()
    ]

    assert missing == []


def test_nothing_that_was_released_is_broken(changed):
    assert breaking(changed) == ""


def test_changed_number_of_a_field_is_found(changed):
    replace(changed / "parley" / "v1" / "session_service.proto", "  string id = 1 ", "  string id = 99 ")

    assert 'field "1" with name "id" on message' in breaking(changed)


def test_removed_field_is_found(changed):
    replace(changed / "parley" / "v1" / "chat_service.proto", "  optional bool stream = 9;\n", "")

    assert 'Previously present field "9" with name "stream" on message "CreateChatRequest"' in breaking(
        changed
    )
