"""Compile the kernels: one extension per .pyx file, with OpenMP where it works."""

import os
import tempfile
import warnings
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

KERNELS = Path("sklsh/_kernels")
OPTIMISE = [
    "-O3",
    "-g0",
    "-fopenmp-simd",  # honours the "omp simd" hints of row_ops.h, with or without OpenMP
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g1"]
OPENMP_PROGRAM = """
#include <omp.h>
int main(void) { return omp_get_max_threads() > 0 ? 0 : 1; }
"""


def openmp_flags():
    """Compile and link flags of OpenMP; Apple's clang wants libomp from elsewhere."""
    prefix = os.environ.get("LIBOMP_PREFIX")
    if prefix:
        return (
            ["-Xpreprocessor", "-fopenmp", f"-I{prefix}/include"],
            [f"-L{prefix}/lib", "-lomp"],
        )
    return ["-fopenmp"], ["-fopenmp"]


class BuildKernels(build_ext):
    """Add the flags that the compiler at hand understands."""

    def finalize_options(self):
        """Compile on all cores, if not told otherwise."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        """Probe OpenMP once, then compile all extensions alike."""
        compile_flags, link_flags = openmp_flags()
        if os.environ.get("SKLSH_NO_OPENMP"):
            compile_flags, link_flags = [], []
        elif not self.can_link(compile_flags, link_flags):
            warnings.warn(
                "The C compiler cannot build OpenMP programs: sklsh will run on one "
                "thread. On Debian or Ubuntu, clang needs the package libomp-dev.",
                stacklevel=1,
            )
            compile_flags, link_flags = [], []
        if os.environ.get("SKLSH_SANITIZE"):
            compile_flags, link_flags = compile_flags + SANITIZE, link_flags + SANITIZE
        self.rebuild_if_changed(self.compiler.compiler_so + OPTIMISE + compile_flags + link_flags)
        for extension in self.extensions:
            extension.extra_compile_args = OPTIMISE + compile_flags
            extension.extra_link_args = link_flags
        super().build_extensions()

    def rebuild_if_changed(self, flags):
        """Compile all again if the last build here had other flags: dates do not tell."""
        stamp = Path(self.build_temp, "flags")
        text = " ".join(flags)
        if not stamp.exists() or stamp.read_text() != text:
            self.force = True
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(text)

    def can_link(self, compile_flags, link_flags):
        """Whether a small OpenMP program compiles and links with these flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(OPENMP_PROGRAM)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_flags
                )
                self.compiler.link_executable(
                    objects, str(Path(folder, "probe")), extra_postargs=link_flags
                )
            except (CompileError, LinkError):
                return False
        return True


extensions = [
    Extension(
        f"sklsh._kernels.{source.stem}",
        [str(source)],
        include_dirs=[str(KERNELS)],
        depends=[str(header) for header in sorted(KERNELS.glob("*.h"))],
    )
    for source in sorted(KERNELS.glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "embedsignature": True,
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildKernels},
)
