# The image that brings sealed models into a pod: the application's own, so that they meet the
# libraries they were sealed with, and one folder more. The context is that folder alone, because
# beside it lies the key that signs models:
#
#   docker build -f deploy/kubernetes/models.Dockerfile --build-arg SECUREML=IMAGE -t NAME sealing/models
ARG SECUREML
# hadolint ignore=DL3006
FROM ${SECUREML}
# Sealed models are for their owner and its group alone, and a COPY makes root the owner.
COPY --chown=10001:10001 . /models
