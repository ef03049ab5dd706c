"""Which conda packages PyPI has, and what it calls them.

A conda name that stands nowhere here is taken to be PyPI's too, which holds for most Python packages.
"""

from __future__ import annotations

import re

__all__ = ["CHANNELS", "PYPI_NAMES", "is_python"]

CHANNELS = frozenset({
    "anaconda", "conda-forge", "defaults", "fastai", "free", "huggingface", "main", "msys2", "nodefaults", "plotly",
    "pytorch", "pytorch-lts", "pytorch-test", "r",
})  # fmt: skip
"""Channels whose Python packages are on PyPI; what others hold nobody knows."""

PYPI_NAMES = {
    "airflow": "apache-airflow", "brotli-python": "brotli", "clang-python": "clang", "cufflinks-py": "cufflinks",
    "dask": "dask[complete]", "dask-core": "dask", "faiss": "faiss-cpu", "graphviz-python": "graphviz",
    "h2o-py": "h2o", "keras-base": "keras", "matplotlib-base": "matplotlib", "msgpack-python": "msgpack",
    "netcdf4": "netCDF4", "opencv": "opencv-python", "ortools-python": "ortools", "psycopg2": "psycopg2-binary",
    "py-opencv": "opencv-python", "py-xgboost": "xgboost", "py-xgboost-cpu": "xgboost", "pyqt": "pyqt5",
    "pyspark-base": "pyspark", "pytables": "tables", "python-annoy": "annoy", "python-blosc": "blosc",
    "python-build": "build", "python-clang": "clang", "python-duckdb": "duckdb", "python-eccodes": "eccodes",
    "python-fastjsonschema": "fastjsonschema", "python-flatbuffers": "flatbuffers", "python-graphviz": "graphviz",
    "python-hdfs": "hdfs", "python-igraph": "igraph", "python-kaleido": "kaleido", "python-kubernetes": "kubernetes",
    "python-leveldb": "leveldb", "python-libarchive-c": "libarchive-c", "python-lmdb": "lmdb", "python-lz4": "lz4",
    "python-mss": "mss", "python-neo4j": "neo4j", "python-snowflake-connector": "snowflake-connector-python",
    "python-tzdata": "tzdata", "python-wget": "wget", "python-xxhash": "xxhash", "python-zstd": "zstd",
    "pytorch": "torch", "pytorch-cpu": "torch", "redis-py": "redis", "ruamel_yaml": "ruamel.yaml",
    "seaborn-base": "seaborn", "sentencepiece-python": "sentencepiece", "tensorflow-base": "tensorflow",
    "tensorflow-mkl": "tensorflow", "torchaudio-cpu": "torchaudio", "torchvision-cpu": "torchvision",
    "xgboost-cpu": "xgboost",
}  # fmt: skip
"""What PyPI calls the packages that conda calls otherwise."""

_PYTHON_ALL_THE_SAME = frozenset({
    "gcsfs", "gitdb", "gitpython", "libclang", "libcst", "librosa", "libsass", "libtmux", "perlin-noise", "r2pipe",
})  # fmt: skip
_OTHER = frozenset({
    "_anaconda_depends", "anaconda", "aria2", "arrow-cpp", "autoconf", "automake", "bash", "bazel", "binutils",
    "blas", "blast", "boost", "boost-cpp", "brotli-bin", "bwa", "bzip2", "c-ares", "c-compiler", "ca-certificates",
    "cairo", "clang", "clangxx", "coincbc", "compilers", "conda", "conda-build", "conda-env", "coreutils", "cpuonly",
    "cupy", "curl", "cxx-compiler", "cyrus-sasl", "dbus", "expat", "faiss-gpu", "fenics", "ffmpeg", "fftw",
    "findutils", "flex", "fontconfig", "fortran-compiler", "freetype", "freexl", "gcc", "gdal", "gdk-pixbuf", "geos",
    "gettext", "gfortran", "gflags", "ghostscript", "giflib", "git", "git-lfs", "glib", "glog", "glpk", "gmp",
    "gnutls", "go", "gperftools", "graphite2", "graphviz", "grep", "gsl", "gst-plugins-base", "gstreamer", "gxx",
    "gzip", "harfbuzz", "hdf4", "hdf5", "htop", "icu", "imagemagick", "intel-openmp", "ipopt", "java-jdk", "jemalloc",
    "jpeg", "jq", "json-c", "julia", "kealib", "keras-gpu", "krb5", "lame", "lcms2", "ld_impl_linux-64", "leptonica",
    "lerc", "llvm", "llvm-openmp", "llvmdev", "lz4-c", "m4", "magma", "make", "mamba", "maven", "micromamba", "mkl",
    "mkl-devel", "mpc", "mpfr", "mpi", "mpich", "mongodb", "mysql", "nb_conda", "nb_conda_kernels", "nccl", "ncurses",
    "nettle", "nomkl", "nodejs", "nspr", "nss", "openbabel", "openblas", "openh264", "openjdk", "openjpeg", "openmpi",
    "openssl", "orc", "pandoc", "pango", "parallel", "patch", "pcre", "pcre2", "perl", "pigz", "pixman", "pkg-config",
    "poppler", "postgresql", "proj", "proj4", "pypy", "pytorch-cuda", "pytorch-gpu", "pytorch-mutex", "qt", "qt-main",
    "rclone", "readline", "redis", "redis-server", "ruby", "rust", "samtools", "scala", "screen", "sed", "snappy",
    "sox", "spark", "spatialite", "sqlite", "subversion", "suitesparse", "swig", "sysroot_linux-64", "tar", "tbb",
    "tensorflow-gpu", "tesseract", "texlive-core", "tini", "tk", "tmux", "unixodbc", "unzip", "util-linux", "vim",
    "wget", "xerces-c", "xorg", "xz", "yaml", "yarn", "zeromq", "zip", "zlib", "zlib-ng", "zsh", "zstd",
})  # fmt: skip
_OTHER_FAMILIES = re.compile(
    r"(_|r-|lib|cuda|cudnn|cutensor|font-|fonts-|gcc_|gxx_|gfortran_|binutils_|clang_|clangxx_|xorg-|perl-|magma-"
    r"|bioconductor-|aws-c-|aws-sdk-cpp|qt6-|rapids|cudf|cuml|spacy-model-|mysql-common|mysql-libs|openmp|sysroot_)"
)


def is_python(name: str) -> bool:
    """Whether a conda package is a Python package that PyPI has, as far as is known."""
    if name in _PYTHON_ALL_THE_SAME:
        return True
    return name not in _OTHER and not _OTHER_FAMILIES.match(name)
