# The front door: everything is done by CMake's presets and the scripts under tools/.
PRESET ?= release
NAME ?= decode

.PHONY: all run test bench fuzz install deb clean check-setup
all: check-setup
	@cmake --preset $(PRESET) >build/$(PRESET).configure.log 2>&1 || { cat build/$(PRESET).configure.log; exit 1; }
	@cmake --build --preset $(PRESET)

check-setup:
	@mkdir -p build && tools/setup.sh build

run: all
	@tools/setup.sh run && recipes/first-model/run.sh build/release/higgins

test:
	@mkdir -p build && tools/setup.sh test && tests/run.sh

bench: all
	@bench/run.sh $(NAME) $(ARGS)

fuzz:
	@mkdir -p build && tools/setup.sh test && tests/fuzz/run.sh $(NAME)

install: all
	@cmake --install build/release $(if $(DESTDIR),--prefix $(DESTDIR)$(or $(PREFIX),/usr/local),$(if $(PREFIX),--prefix $(PREFIX)))
	@cmake --install build/release --component mpi $(if $(DESTDIR),--prefix $(DESTDIR)$(or $(PREFIX),/usr/local),$(if $(PREFIX),--prefix $(PREFIX)))

deb: all
	@cd build/release && cpack -G DEB

clean:
	rm -rf build
