# `make` alone prints the targets. What demo and test run, README.md also prints, for people without
# make.
.DEFAULT_GOAL := help
.PHONY: help demo smoke test lint test-tf2 test-snakefile benchmark

help:  ## this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*  ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo:  ## the whole study on generated images, with three classifiers: minutes
	sh utils/environment.sh python -m data.demo

smoke:  ## the same with one classifier and a handful of images: does everything run here?
	rm -rf demo-smoke
	sh utils/environment.sh python -m data.demo --smoke --folder demo-smoke

test:  ## the test suite
	sh utils/environment.sh python -m pytest tests -n 2 --dist loadfile

lint: .lint-env/whole  ## ruff and mypy, by a Python of their own (3.10 or newer)
	.lint-env/bin/ruff check .
	.lint-env/bin/mypy

.lint-env/whole: tests/requirements-lint.txt
	rm -rf .lint-env
	python3 -m venv .lint-env
	.lint-env/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement $<
	touch $@

test-tf2:  ## the test suite with today's TensorFlow
	ENVIRONMENT=tf2 sh utils/environment.sh python -m pytest tests -n 2 --dist loadfile

test-snakefile:  ## the Snakefile, by a Snakemake in an environment of its own (Python 3.11 or newer)
	python3 -m venv .snakemake-env
	.snakemake-env/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
		snakemake==9.27.1 snakemake-executor-plugin-slurm==2.8.0 numpy pytest
	.snakemake-env/bin/python -m pytest tests/snakefile.py

ART = --quiet --quiet --disable-pip-version-check --upgrade --no-deps --target

.venv-art: tests/requirements-benchmark.txt
	sh utils/environment.sh python -m pip install $(ART) $@ --requirement $<

.venv-art-tf2: tests/requirements-benchmark-tf2.txt
	ENVIRONMENT=tf2 sh utils/environment.sh python -m pip install $(ART) $@ --requirement $<

benchmark: .venv-art .venv-art-tf2  ## speed in both environments, and against the Adversarial Robustness Toolbox
	sh utils/environment.sh python tests/benchmark.py
