#!/usr/bin/env python3
"""Writes a container image (an OCI layout tar) without a container engine.

The same inputs give the same bytes. The spec is JSON:

    {"name": "localhost/dittofs:0.29.0",
     "config": {"User": "65532:65532", "Entrypoint": ["/app/dfs"]},
     "files": [{"from": "${dfs}", "to": "/app/dfs", "mode": "0755"},
               {"text": "hello\\n", "to": "/etc/motd"},
               {"folder": "/data", "uid": 65532, "gid": 65532},
               {"link": "busybox", "to": "/bin/sh"}]}

`config` is the OCI image's own config object. ${KEY} is replaced by --set
KEY=VALUE. `"libraries": true` at a file adds the shared libraries it is
linked against. Relative paths are taken from the spec's folder.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def load_spec(path, settings):
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    # JSON-quoted, as a path may hold a quote or a backslash.
    text = re.sub(r"\$\{(\w+)\}", lambda m: json.dumps(settings[m.group(1)])[1:-1], text)
    spec = json.loads(text)
    base = os.path.dirname(os.path.abspath(path))
    for entry in spec["files"]:
        if "from" in entry:
            entry["from"] = os.path.join(base, entry["from"])
    return spec


def shared_libraries(program):
    """The loader and the libraries of a dynamically linked program, as ldd finds them."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", listing)))


def expand(files):
    """The list of entries with libraries and parent folders added, by path."""
    entries = {}
    for entry in files:
        entries[entry.get("to") or entry["folder"]] = entry
        if entry.get("libraries"):
            for library in shared_libraries(entry["from"]):
                entries.setdefault(library, {"from": library, "to": library, "mode": "0755"})
    for path in list(entries):
        parent = os.path.dirname(path)
        while parent != "/":
            entries.setdefault(parent, {"folder": parent})
            parent = os.path.dirname(parent)
    return dict(sorted(entries.items()))


def write_layer(entries):
    """The only layer, as an uncompressed tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, entry in entries.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.uid, info.gid = entry.get("uid", 0), entry.get("gid", 0)
            data = b""
            if "folder" in entry:
                info.type, info.mode = tarfile.DIRTYPE, int(entry.get("mode", "0755"), 8)
            elif "link" in entry:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry["link"], 0o777
            else:
                if "from" in entry:
                    with open(entry["from"], "rb") as stream:
                        data = stream.read()
                else:
                    data = entry["text"].encode()
                info.mode = int(entry.get("mode", "0644"), 8)
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_image(spec, out):
    layer = write_layer(expand(spec["files"]))
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = to_json(
        {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": spec.get("config", {}),
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    )
    manifest = to_json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
        }
    )
    reference = descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    reference["annotations"] = {"io.containerd.image.name": spec["name"]}
    reference["platform"] = {"architecture": ARCHITECTURE, "os": "linux"}
    members = {
        "oci-layout": to_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": to_json({"schemaVersion": 2, "manifests": [reference]}),
    }
    for blob in (config, manifest, packed):
        members["blobs/sha256/" + digest(blob).split(":")[1]] = blob
    with tarfile.open(out + ".new", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    os.replace(out + ".new", out)


def to_json(value):
    return json.dumps(value, sort_keys=True).encode()


def descriptor(media_type, data):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec")
    parser.add_argument("out")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    write_image(load_spec(args.spec, dict(s.split("=", 1) for s in args.set)), args.out)


if __name__ == "__main__":
    main()
