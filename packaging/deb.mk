# Included by the Makefile.

.PHONY: deb
deb: ## Build the Debian package into target/debian
	packaging/build-deb

.PHONY: install
install: ## Build the package, install it with apt, and ask 169.254.169.254
	packaging/install
