# Each target is one command, which README.md also prints for people without make.
.PHONY: demo test benchmark

demo:  ## the whole study on generated images, about 8 minutes
	sh utils/environment.sh python -m data.demo

test:  ## the test suite
	sh utils/environment.sh python -m pytest tests -n 2 --dist loadfile

benchmark:  ## the UAP loop against the Adversarial Robustness Toolbox, on the demo's models
	ENVIRONMENT=benchmark sh utils/environment.sh python tests/benchmark_uap.py
