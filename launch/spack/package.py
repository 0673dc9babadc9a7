# Spack package of offramp: copy to packages/offramp/package.py of a repository of your own (spack repo create), then
#   spack dev-build offramp@0.1.0      in the source tree
from spack.package import *


class Offramp(CMakePackage):
    """Pipeline-parallel LLM inference over MPI with early exits."""

    license("MIT")
    version("0.1.0")

    variant("gnuplot", default=False, description="Plots in HTML reports by gnuplot")
    variant("tests", default=False, description="Build the tests")

    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("openmpi@4.1")
    depends_on("openblas")
    depends_on("libsvm")
    depends_on("cjson")
    depends_on("xxhash")
    depends_on("pcre2")
    depends_on("liblbfgs")
    depends_on("bash", type="run")
    depends_on("gnuplot", type="run", when="+gnuplot")
    depends_on("cmocka", type="build", when="+tests")
    depends_on("jq", type="build", when="+tests")

    def cmake_args(self):
        return [self.define_from_variant("OFFRAMP_TESTS", "tests")]
