# Each target is one command, which README.md also prints for people without make.
.PHONY: demo test

demo:  ## the whole study on generated images, about 8 minutes
	sh utils/environment.sh python -m data.demo

test:  ## the test suite
	sh utils/environment.sh python -m pytest tests -n 2 --dist loadfile
