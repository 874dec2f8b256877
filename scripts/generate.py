"""Generate generated/ from proto/: message modules, gRPC stubs, .pyi of both, openapi.json, and what Envoy
reads: the descriptor and tables. Also the page docs/grpcurl.md, and the services of the Python client.

Imports between our own files are rewritten to `generated.…`, so that `generated/` never needs to be on
sys.path (there a folder named grpc would shadow the real package); google.* and grpc.* come from their own
wheels. `buf/validate` is in no wheel as text, so its descriptor is taken out of the protovalidate wheel. Does
not format or lint Python; `--check` writes nothing and also runs `buf lint`.
"""

import argparse
import filecmp
import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import client_services
import error_shapes
import google.api
import grpc_tools
import grpc_tools.protoc
import grpcurl
import members
import openapi
import prices
import stubs
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "generated"
GOOGLEAPIS = Path(google.api.__path__[0]).parent.parent
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
PAGE = ROOT / "docs" / "grpcurl.md"
CLIENT = ROOT / "clients" / "python" / "src" / "parley_client"
VALIDATE = "buf/validate/validate.proto"
IMPORT = re.compile(r"^(from|import) (parley|buf)\b", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="compare with what is committed, and run buf lint"
    )
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "generated"
        generate(fresh, Path(scratch))
        if check:
            return check_fresh(fresh) or check_pages(Path(scratch)) or lint(Path(scratch))
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)
        for page, text in pages_of(Path(scratch)).items():
            page.write_text(text)
    return 0


def generate(target: Path, scratch: Path) -> None:
    """Write the whole generated package to `target`; `scratch` receives the descriptor sets on the way."""
    target.mkdir()
    sources = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "parley").rglob("*.proto"))
    services = [name for name in sources if name.endswith("_service.proto")]
    rules = scratch / "validate.binpb"
    rules.write_bytes(validate_descriptors())
    everything = scratch / "everything.binpb"
    run(
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={everything}",
        f"--proto_path={PROTO}",
        f"--proto_path={GOOGLEAPIS}",
        f"--proto_path={WELL_KNOWN}",
        f"--descriptor_set_in={rules}",
        *sources,
    )
    run(
        f"--descriptor_set_in={everything}",
        f"--python_out={target}",
        f"--pyi_out={target}",
        *sources,
        VALIDATE,
    )
    run(f"--descriptor_set_in={everything}", f"--grpc_python_out={target}", *services)
    run(
        f"--descriptor_set_in={everything}",
        "--include_imports",
        f"--descriptor_set_out={target / 'parley.binpb'}",
        *sources,
    )
    stubs.write(everything.read_bytes(), services, target)
    written = json.dumps(openapi.document(everything.read_bytes()), indent=1, ensure_ascii=False)
    (target / "openapi.json").write_text(written + "\n")
    (target / "members.lua").write_text(members.table((target / "parley.binpb").read_bytes()))
    (target / "error_shapes.lua").write_text(error_shapes.table())
    (target / "prices.json").write_text(prices.table())
    for module in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        module.write_text(IMPORT.sub(r"\1 generated.\2", module.read_text()))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()
    (target / "py.typed").touch()


def validate_descriptors() -> bytes:
    """The FileDescriptorSet of buf/validate/validate.proto and its imports, out of the protovalidate
    wheel."""
    found = descriptor_pb2.FileDescriptorSet()
    own = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    for name in own.dependency:
        module = importlib.import_module(f"google.protobuf.{Path(name).stem}_pb2")
        module.DESCRIPTOR.CopyToProto(found.file.add())
    found.file.append(own)
    return found.SerializeToString()


def run(*arguments: str) -> None:
    if grpc_tools.protoc.main(["protoc", *arguments]) != 0:
        sys.exit("protoc failed")


def check_fresh(fresh: Path) -> int:
    names = sorted(
        {
            path.relative_to(root)
            for root in (fresh, GENERATED)
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    )
    stale = [
        str(name)
        for name in names
        if not (
            (fresh / name).is_file()
            and (GENERATED / name).is_file()
            and filecmp.cmp(fresh / name, GENERATED / name, shallow=False)
        )
    ]
    if stale:
        print("stale, run scripts/generate: " + ", ".join(stale), file=sys.stderr)
    return 1 if stale else 0


def pages_of(scratch: Path) -> dict[Path, str]:
    """Return the files that are written outside of generated/, with their texts."""
    described = (scratch / "everything.binpb").read_bytes()
    return {PAGE: grpcurl.page(described), **client_services.modules(described, CLIENT)}


def check_pages(scratch: Path) -> int:
    stale = [
        str(page.relative_to(ROOT))
        for page, text in pages_of(scratch).items()
        if not (page.is_file() and page.read_text() == text)
    ]
    if stale:
        print("stale, run scripts/generate: " + ", ".join(stale), file=sys.stderr)
    return 1 if stale else 0


def lint(scratch: Path) -> int:
    """Run buf over an image made by protoc: resolving imports itself would need the network."""
    image = scratch / "everything.binpb"
    command = [
        str(Path(sys.executable).parent / "buf"),
        "lint",
        str(image),
        "--config",
        str(PROTO / "buf.yaml"),
        "--path",
        "parley",
    ]
    return subprocess.run(command, cwd=PROTO, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
