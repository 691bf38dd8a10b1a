# Each target wraps one command; `make help` lists them.

CARGO ?= cargo
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fake-metadata/tools
export PATH := $(TOOLS)/bin:$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: build
build: ## Build both programs, optimised, into target/release
	$(CARGO) build --release --locked

.PHONY: run
run: ## Serve a default instance on 127.0.0.1:8000: no root, no file, no setup
	@echo 'try: curl http://127.0.0.1:8000/latest/meta-data/'
	@$(CARGO) run --quiet --release --locked --package fake-metadata -- serve

.PHONY: test
test: ## Install what the tests need (as root), and run them all
	tests/run

.PHONY: test-package
test-package: ## Only the package's tests: build it, and take it through its life in booted Debian systems (as root)
	tests/run tests/package

.PHONY: lint
lint: ## Formatting, clippy, rustdoc, licences and bans, shell scripts
	tests/lint

.PHONY: bench
bench: ## Measure beside bare hyper and Go net/http; writes docs/benchmarks.md
	tests/run --exec tests/bench/run

.PHONY: hot-functions
hot-functions: ## List anew the functions that are laid close together in the program (needs Debian's valgrind)
	tests/run --exec tests/bench/hot-functions

.PHONY: clean
clean: ## Remove what was built
	$(CARGO) clean

-include packaging/deb.mk
