# What demo and test run, README.md also prints, for people without make.
.PHONY: demo test test-tf115 test-snakefile benchmark

demo:  ## the whole study on generated images, about 9 minutes
	sh utils/environment.sh python -m data.demo

test:  ## the test suite
	sh utils/environment.sh python -m pytest tests -n 2 --dist loadfile

test-tf115:  ## the test suite with TensorFlow 1.15.5
	ENVIRONMENT=tf115 sh utils/environment.sh python -m pytest tests -n 2 --dist loadfile

test-snakefile:  ## the Snakefile, by a Snakemake in an environment of its own (Python 3.11 or newer)
	python3 -m venv .snakemake-env
	.snakemake-env/bin/python -m pip install --quiet --disable-pip-version-check \
		snakemake==9.27.1 snakemake-executor-plugin-slurm==2.8.0 numpy pytest
	.snakemake-env/bin/python -m pytest tests/snakefile.py

.venv-art: tests/requirements-benchmark.txt
	sh utils/environment.sh python -m pip install --quiet --disable-pip-version-check \
		--upgrade --no-deps --target $@ --requirement $<

benchmark: .venv-art  ## the UAP loop against the Adversarial Robustness Toolbox, on the demo's models
	PYTHONPATH=.venv-art sh utils/environment.sh python tests/benchmark_uap.py
