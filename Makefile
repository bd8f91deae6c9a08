# The commands an operator or a developer types; the work is in scripts/.

.PHONY: help setup dev run test crash-points lint format bench fuzz lock clean

help:
	@echo "make setup   install everything into .venv and build the front end"
	@echo "make run     set up, then serve with demo data; prints addresses and passwords"
	@echo "make test    set up for development, then run every check and test"
	@echo "make crash-points   break PostgreSQL at every message of every road, in every way; an hour"
	@echo "make lint    format, lint, types and floors only"
	@echo "make format  rewrite the sources in the project's format"
	@echo "make bench   the benchmarks against their peers"
	@echo "make fuzz    each parser under coverage-guided fuzzing, an hour in all (SECONDS=3600)"
	@echo "make lock    rewrite the lock of dependencies"

setup:
	@scripts/setup

dev:
	@scripts/setup --dev

run: setup
	@POSTROAD_LOG__FORMAT=$${POSTROAD_LOG__FORMAT:-console} exec .venv/bin/postroad serve --demo

test: dev
	@scripts/check

crash-points: dev
	@POSTROAD_CRASH_POINTS=all .venv/bin/pytest -n "$${POSTROAD_TEST_WORKERS:-$$(nproc)}" tests/faults/test_crash_points.py

lint: dev
	@scripts/check format lint types floors

format: dev
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

bench: setup
	@for name in accept relay websent oa_counts tracking; do .venv/bin/python benchmarks/$$name.py $(BENCH) || exit 1; done

# Where atheris has no wheel, hypothesis searches instead.
fuzz: dev
	@.venv/bin/pip install --quiet --require-hashes --requirement requirements/fuzz.txt || echo "fuzz: without atheris"
	@.venv/bin/python scripts/fuzz --seconds $${SECONDS:-3600} $(TARGETS)

lock:
	@scripts/lock

clean:
	rm -rf .venv node_modules build dist src/postroad/web/static/dist
