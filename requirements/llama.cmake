# llama-cpp-python forces llama.cpp's "common" library on: an HTTP client, a subprocess runner and chat templates
# that the appliance never loads. A normal variable outlives a forced cache entry (CMake policy CMP0126).
set(LLAMA_BUILD_COMMON OFF)
