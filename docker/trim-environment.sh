#!/bin/sh
# Leaves out of an environment what is only there to test or to compile against its packages. Usage: trim-environment.sh PREFIX
set -eu
cd "$1"/lib/python3*/site-packages
# Test suites of packages that carry them in their wheels (none is imported by the package itself), and C headers.
for package in numpy scipy pandas pyarrow sklearn numba llvmlite matplotlib alembic sqlalchemy; do
  [ -d "$package" ] && find "$package" -type d -name tests -prune -exec rm -rf {} +
done
rm -rf pyarrow/include numpy/_core/include
# The node reads Parquet from files: no Flight server, no object store.
[ ! -d pyarrow ] || rm -f pyarrow/libarrow_*flight.so* pyarrow/libarrow_s3.so* pyarrow/_flight.*.so pyarrow/_s3fs.*.so
find . -name '*.pyi' -delete
