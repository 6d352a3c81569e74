# The project and its environment, for any machine with Docker:
#
#     docker build -t uap . && docker run --rm uap                            the demo
#     docker run --rm -it -v "$PWD/data:/home/uap/data" -v "$PWD/models:/home/uap/models" \
#         -v "$PWD/results:/home/uap/results" uap sh utils/environment.sh bash
#
# TensorFlow 1.14 exists for x86-64 only; other processors emulate one, slowly.
# hadolint ignore=DL3029
FROM --platform=linux/amd64 python:3.7

RUN useradd --create-home uap
USER uap
WORKDIR /home/uap

# The environment is made before the code is there, so that a change of the code does not remake it.
COPY --chown=uap utils/environment.sh utils/
COPY --chown=uap requirements.txt ./
COPY --chown=uap tests/requirements.txt tests/
RUN sh utils/environment.sh python --version

COPY --chown=uap . ./
CMD ["make", "demo"]
