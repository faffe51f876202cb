# Sourced by the runs that train: $train is an environment with torch, $workers how many train, one thread each.
train=.cache/train
if [ ! -e "$train/.installed" ] || [ requirements/train.in -nt "$train/.installed" ]; then
  echo "==> installing torch (CPU) into $train" >&2
  [ -x "$train/bin/python" ] || "${PYTHON:-python3}" -m venv "$train"
  "$train/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements/train.in
  touch "$train/.installed"
fi
older() {  # TARGET FILE...: whether the target is missing, or older than one of the files
  local target=$1 each
  shift
  for each in "$@"; do if [ "$each" -nt "$target" ]; then return 0; fi; done
  return 1
}
workers=$(nproc)  # before the next line: nproc answers what OMP_NUM_THREADS says
# One thread a worker, and memory that is kept instead of mapped anew for every tensor.
export OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296
