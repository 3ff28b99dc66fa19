# Two commands do everything: `make demo` and `make test`. Each installs what it needs first.

INPUT ?=
KEEP  ?=
MINUTES ?= 10
SEED  ?=
ONLY  ?=
SEEDS ?= 5000
FIRST ?= 1
MISTAKE ?=

.PHONY: help setup demo test chaos simulate check fmt bench bench-etcd bench-replication clean

help: ## this text
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

setup: ## install what is missing from Debian and PyPI
	@.ci/setup build run

demo: setup ## run the whole job on real processes; KEEP=1 leaves the cluster up, INPUT=DIR chooses the files
	cargo build --release --workspace --bins
	@target/release/holdfast-demo $(if $(INPUT),--input "$(INPUT)") $(if $(KEEP),--keep)

test: setup ## every test
	cargo build --workspace --bins
	cargo build -p holdfast-disk-faults
	cargo test --workspace

chaos: setup ## break a cluster under load for MINUTES=n; SEED=s replays a run, ONLY="names" chooses scenarios
	cargo build --workspace --bins
	cargo build -p holdfast-disk-faults
	@target/debug/holdfast-chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(foreach name,$(ONLY),--only $(name))

simulate: setup ## simulate map, placement and the life of shards: SEEDS=n histories from FIRST=n on; MISTAKE=name puts a known mistake back
	cargo build --release -p holdfast-simulation
	@target/release/holdfast-simulation --seeds $(SEEDS) --first $(FIRST) $(if $(MISTAKE),--mistake $(MISTAKE))

check: setup ## format, lints, docs, dependency direction, licences
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items
	cargo test -p holdfast-architecture

fmt: ## format everything
	cargo fmt --all

bench: setup ## measure, and write bench/results/latest.json
	cargo build --release --workspace --bins
	@TSS2_LOG=all+NONE target/release/holdfast-bench

bench-etcd: ## measure three nodes beside three members of Debian's etcd, and write bench/results/etcd.json
	@.ci/setup build run etcd
	cargo build --release --workspace --bins
	@TSS2_LOG=all+NONE target/release/holdfast-bench --only etcd --results bench/results/etcd.json

bench-replication: setup ## measure failover, moves and idle groups, and write bench/results/replication.json
	cargo build --release --workspace --bins
	cargo build --release -p holdfast-consensus --example idle_groups
	@TSS2_LOG=all+NONE target/release/holdfast-bench --only replication --results bench/results/replication.json

clean: ## remove build products and a kept demo
	rm -rf target demo
