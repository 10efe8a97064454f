#!/usr/bin/env bash
# Fetches the CUDA and cuDNN libraries that ONNX Runtime's CUDA provider needs out of their PyPI
# wheels, pinned by tools/cuda.lock, to .deps/cuda/ (1.1 GB to fetch, 1.6 GB on disk).
#
# Does nothing when they are there and intact. Without a network: put the wheels in .deps/downloads/.
# The libraries are NVIDIA's, under NVIDIA's licences, which are put beside them. The driver
# (libcuda.so.1, 580 or later) comes with the machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/verified.sh

folder=.deps/cuda
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "CUDA libraries are pinned for Linux on x86-64 only (tools/cuda.lock)"
pins=$(grep -v '^#' tools/cuda.lock)

# The folder remembers the pins that it came from, so that new ones replace it.
intact() { [ "$(cat "$folder/PINS" 2>/dev/null)" = "$pins" ] && matches_sums "$folder" "$folder/SHA256SUMS"; }

if intact; then
  echo "cuda: $folder is there and intact"
  exit 0
fi

command -v python3 >/dev/null || die "python3 is missing, and wheels are unpacked with it: apt-get install python3"
mkdir -p .deps/downloads
find .deps -maxdepth 1 -name '.cuda.*' -mmin +120 -exec rm -rf {} + # left by a killed run
work=$(mktemp -d .deps/.cuda.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/wheels" "$work/new"

# Wheels put there by hand go first; their names do not matter, their content does.
while read -r package version sha256 size; do
  for candidate in .deps/downloads/*.whl; do
    if [ -f "$candidate" ] && [ "$(sha256_of "$candidate")" = "$sha256" ]; then
      ln -s "$PWD/$candidate" "$work/wheels/$package.whl"
    fi
  done
  if [ ! -e "$work/wheels/$package.whl" ]; then
    python3 -m pip --version >/dev/null 2>&1 || die "pip is missing: apt-get install python3-pip"
    echo "cuda: fetching $package $version ($size MB)"
    printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$sha256" >"$work/requirements.txt"
    # A wheel of today is found under several of these names of one platform.
    python3 -m pip download --disable-pip-version-check --no-input --retries 2 --timeout 30 --quiet \
      --no-deps --only-binary=:all: --implementation cp --python-version 311 --platform manylinux_2_27_x86_64 \
      --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 \
      --require-hashes --requirement "$work/requirements.txt" --dest "$work/fetched" 2>"$work/errors" ||
      die "could not fetch $package $version from PyPI ($(grep -m 1 ERROR "$work/errors" | cut -c1-160)); put its wheel in .deps/downloads/"
    mv "$work"/fetched/*.whl "$work/wheels/$package.whl"
  fi
  [ "$(sha256_of "$work/wheels/$package.whl")" = "$sha256" ] || die "the wheel of $package has another sha256 than tools/cuda.lock says"
done <<<"$pins"

echo "cuda: unpacking"
python3 - "$work/wheels" "$work/new" <<'PYTHON'
import hashlib, os, re, sys, zipfile
wheels, target = sys.argv[1:]
# Not: wrappers for other programs (nvblas, cufftw), and nvrtc's second build of itself.
wanted = re.compile(r"nvidia/(cu13|cudnn)/lib/(lib(?!nvblas|cufftw)[^/]+\.so\.[0-9.]+)$")
sums = []
for wheel in sorted(os.listdir(wheels)):
    found = False
    with zipfile.ZipFile(os.path.join(wheels, wheel)) as archive:
        for member in archive.namelist():
            library = wanted.match(member)
            if re.search(r"dist-info/.*licen[cs]e[^/]*$", member, re.IGNORECASE):
                name = wheel[: -len(".whl")] + ".LICENSE"
            elif library and ".alt." not in member:
                name, found = library[2], True
            else:
                continue
            digest = hashlib.sha256()
            with archive.open(member) as source, open(os.path.join(target, name), "wb") as out:
                while block := source.read(1 << 20):
                    digest.update(block)
                    out.write(block)
            sums.append(f"{digest.hexdigest()}  {name}\n")
    if not found:
        sys.exit(f"{wheel} holds no library")
with open(os.path.join(target, "SHA256SUMS"), "w") as file:
    file.writelines(sums)
PYTHON
echo "$pins" >"$work/new/PINS"
publish "$work/new" "$folder"
intact || die "$folder is not what was fetched; remove it and try again"
echo "cuda: $folder"
