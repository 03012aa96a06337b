# Every target does its own set-up; nothing is left to do by hand on a fresh Debian machine.

export CARGO_TARGET_DIR ?= $(or $(JIAOZI_TARGET_DIR),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/jiaozi/target)
export PATH := $(HOME)/.cargo/bin:$(PATH)

# What makes, moves and counts money.
RULES ?= pay issue redeem fee base_fee invariants

JIAOZI := $(CARGO_TARGET_DIR)/debug/jiaozi
LOCALNET ?= localnet

.PHONY: help setup build demo test lint up down bench bench-weight bench-peers bench-overload bench-long bench-memory bench-scaling bench-fees profile simulate soak schedules fuzz mutants engines deny clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Install system packages and the Rust toolchain where they are missing
	@scripts/setup

build: setup ## Build everything (RocksDB alone takes about 15 minutes the first time)
	cargo build --workspace --all-targets

demo: build ## Four banks, three chains, 20,000 payments, a crash, a refund, a reshard, a flood that costs, a replay, two forgeries; then stop
	scripts/demo $(JIAOZI)

up: build ## Start four banks and leave them running
	$(JIAOZI) localnet up --directory $(LOCALNET)

down: ## Stop the network that `make up` started
	$(JIAOZI) localnet down --directory $(LOCALNET)

test: setup ## Lint, test and demonstrate everything; what CI runs
	@scripts/test

lint: setup ## Format, lints, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

bench: build ## Measure payments per second on this machine beside PostgreSQL and the limit, latency, memory and disk: make bench RATE=8000
	scripts/bench

bench-peers: ## Install PostgreSQL where it is missing and measure transfers on it
	@scripts/setup peers
	benches/peers/postgres/run

bench-overload: build ## Find the best rate, then offer three times that
	$(CARGO_TARGET_DIR)/debug/bench overload

bench-long: build ## MINUTES at 70 % of RATE: what drifts: make bench-long MINUTES=30 RATE=8000
	$(CARGO_TARGET_DIR)/debug/bench long --minutes $(or $(MINUTES),30) --rate $(or $(RATE),8000)

bench-memory: build ## What wallets and pending payments take in memory
	$(CARGO_TARGET_DIR)/debug/bench memory

profile: build ## Processor time and allocations of a payment by stage, and a flame graph: make profile SVG=docs/benchmarks/name.svg RATE=4000
	scripts/profile $(SVG)

bench-scaling: build ## Measure the same load on 1, 2, 4 and 8 chains, with 0, 10 and 50 % of it between them
	$(CARGO_TARGET_DIR)/debug/bench scaling

bench-weight: build ## Fit the weights of transactions to what they cost this machine
	$(CARGO_TARGET_DIR)/debug/market weight

bench-fees: build ## Score the fee estimator on a simulated market beside two others, time it, draw the base fee into docs/fees
	$(CARGO_TARGET_DIR)/debug/market score
	$(CARGO_TARGET_DIR)/debug/market cost
	$(CARGO_TARGET_DIR)/debug/market curves docs/fees

simulate: build ## Replay one seed in the bottle: make simulate SEED=7
	$(CARGO_TARGET_DIR)/debug/simulate --seed $(SEED) $(if $(SCENE),--scene $(SCENE))

soak: build ## Random seeds in the bottle, on all cores, for HOURS; what fails is kept with its plan: make soak HOURS=8
	$(CARGO_TARGET_DIR)/debug/simulate --soak --hours $(or $(HOURS),1) --save $(or $(SAVE),soak)

schedules: build ## Run COUNT random schedules of each kind over pure ledgers; SEED repeats a run, what fails is kept: make schedules COUNT=1000
	@seed=$${SEED:-$$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')}; echo "SEED=$$seed"; \
	PROPTEST_RNG_SEED=$$seed JIAOZI_SCHEDULES=$(or $(COUNT),1000) cargo test --workspace --test ledger -- \
		money_is_conserved_over_any both_halves_of_an_exchange sets_change_while wallets_move_while random_bids_lose_no_fen

fuzz: setup ## Fuzz the decoders, SECONDS each, and keep what is new in tests/fuzz/corpus: make fuzz TARGET=batch SECONDS=600
	scripts/fuzz "$(TARGET)" "$(SECONDS)"

mutants: setup ## Change rules of the ledger in every place; a change that no test sees is a gap: make mutants RULES="lock claim"
	command -v cargo-mutants >/dev/null || cargo install cargo-mutants --locked --version '^27'
	cargo mutants --package ledger --output $(CARGO_TARGET_DIR) $(RULES:%=-f ledger/src/rules/%.rs)

engines: setup ## The same troubles for the engine in use and for hotstuff_rs, in one table; one CPU, about six minutes
	cargo build --locked --manifest-path tests/engines/Cargo.toml
	taskset -c 0 $(CARGO_TARGET_DIR)/debug/engines

deny: setup ## Licences, sources and advisories of all that is built in; needs the network
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --version '^0.20'
	cargo deny check

clean: ## Remove what `make up` and `make demo` left behind
	rm -rf $(LOCALNET)
