#!/usr/bin/env bash
# Fetches ONNX Runtime's shared library out of its PyPI wheel, pinned by tools/onnxruntime.lock.
#
#   tools/fetch-onnxruntime.sh          the CPU library, to .deps/onnxruntime/
#   tools/fetch-onnxruntime.sh --gpu    the CUDA library, to .deps/onnxruntime-gpu/
#
# Does nothing when the library is there and intact. Without a network: put the wheel in
# .deps/downloads/, or point ORT_DYLIB_PATH at a library of your own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/verified.sh

kind=cpu folder=.deps/onnxruntime
case "${1-}" in
  '') ;;
  --gpu) kind=gpu folder=.deps/onnxruntime-gpu ;;
  *) die "unknown option '$1'; usage: tools/fetch-onnxruntime.sh [--gpu]" ;;
esac

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) machine=linux-x86_64 ;;
  Linux-aarch64 | Linux-arm64) machine=linux-aarch64 ;;
  Darwin-arm64) machine=macos-arm64 ;;
  *) machine="$(uname -s)-$(uname -m)" ;;
esac
by_hand="supply a library yourself and set ORT_DYLIB_PATH to its file"

pin=$(awk -v m="$machine" -v k="$kind" '$1 == m && $2 == k' tools/onnxruntime.lock)
[ -n "$pin" ] || die "no $kind library is pinned for $machine (tools/onnxruntime.lock); $by_hand"
read -r _ _ package version tag wheel_sha256 <<<"$pin"

# The folder remembers which wheel it came from, so that a new pin replaces it.
intact() { [ "$(cat "$folder/WHEEL_SHA256" 2>/dev/null)" = "$wheel_sha256" ] && matches_sums "$folder" "$folder/SHA256SUMS"; }

# Why pip gave up, in one line.
reason() {
  if grep -q 'Retrying' "$work/errors"; then
    echo "no network"
  else
    grep 'ERROR' "$work/errors" | head -n 1 | cut -c1-160
  fi
}

library() {
  local file
  for file in "$folder"/libonnxruntime.so.* "$folder"/libonnxruntime.*.dylib; do
    if [ -f "$file" ]; then echo "$file"; fi
  done
}

if [ "$kind" = cpu ] && [ -n "${ORT_DYLIB_PATH-}" ]; then
  [ -f "$ORT_DYLIB_PATH" ] || die "ORT_DYLIB_PATH names $ORT_DYLIB_PATH, which is not a file"
  echo "onnxruntime: using ORT_DYLIB_PATH ($ORT_DYLIB_PATH), nothing to fetch"
  exit 0
fi

if intact; then
  echo "onnxruntime: $(library) is there and intact"
  exit 0
fi

command -v python3 >/dev/null || die "python3 is missing, and wheels are unpacked with it: apt-get install python3 (Debian) or brew install python (macOS)"
mkdir -p .deps/downloads
find .deps -maxdepth 1 -name '.onnxruntime.*' -mmin +120 -exec rm -rf {} + # left by a killed run
work=$(mktemp -d .deps/.onnxruntime.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# A wheel put there by hand goes first; its name does not matter, its content does.
wheel=
for candidate in .deps/downloads/*.whl; do
  if [ -f "$candidate" ] && [ "$(sha256_of "$candidate")" = "$wheel_sha256" ]; then wheel=$candidate; fi
done

if [ -z "$wheel" ]; then
  # Compiled for one Python, but only the library inside is used: any Python 3 can fetch and unpack it.
  name="${package//-/_}-$version-cp311-cp311-$tag.whl"
  by_hand="put $name (a file of PyPI) in .deps/downloads/, or $by_hand"
  python3 -m pip --version >/dev/null 2>&1 || die "pip is missing: apt-get install python3-pip (Debian) or python3 -m ensurepip (macOS); or $by_hand"
  echo "onnxruntime: fetching $package $version for $machine"
  printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$wheel_sha256" >"$work/requirements.txt"
  python3 -m pip download --disable-pip-version-check --no-input --retries 2 --timeout 30 \
    --no-deps --only-binary=:all: --implementation cp --python-version 311 --abi cp311 --platform "$tag" \
    --require-hashes --requirement "$work/requirements.txt" --dest "$work/wheel" 2>"$work/errors" ||
    die "could not fetch $package $version from PyPI ($(reason)); $by_hand"
  for candidate in "$work"/wheel/*.whl; do wheel=$candidate; done
  [ "$(sha256_of "$wheel")" = "$wheel_sha256" ] || die "$wheel has another sha256 than tools/onnxruntime.lock says"
fi

echo "onnxruntime: unpacking"
mkdir "$work/new"
python3 - "$wheel" "$work/new" <<'PYTHON'
import hashlib, os, re, shutil, sys, zipfile
wheel, target = sys.argv[1:]
wanted = re.compile(r"onnxruntime/(capi/(libonnxruntime[^/]*)|(LICENSE|ThirdPartyNotices\.txt))$")
sums = []
with zipfile.ZipFile(wheel) as archive:
    for member in archive.namelist():
        if not wanted.match(member):
            continue
        name = member.rsplit("/", 1)[1]
        path = os.path.join(target, name)
        with archive.open(member) as source, open(path, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        sums.append(f"{digest.hexdigest()}  {name}\n")
if not any("libonnxruntime." in line for line in sums):
    sys.exit("the wheel holds no libonnxruntime")
with open(os.path.join(target, "SHA256SUMS"), "w") as file:
    file.writelines(sums)
PYTHON
echo "$wheel_sha256" >"$work/new/WHEEL_SHA256"
publish "$work/new" "$folder"
intact || die "$folder is not what was fetched; remove it and try again"
echo "onnxruntime: $(library)"
if [ "$kind" = gpu ]; then echo "onnxruntime: the CUDA provider also needs CUDA 13 and cuDNN 9: tools/fetch-cuda.sh"; fi
