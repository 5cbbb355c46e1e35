# Each target sets up what it needs first. Python 3.11 or newer is all that must be there before.

PYTHON := .venv/bin/python
READY := .venv/.ready
# Two workers: a third buys nothing on two cores.
PYTEST := $(PYTHON) -m pytest --numprocesses 2 --dist worksteal

STAGE := prod
TRACING := PassThrough
# What only whoever deploys knows.
TOLD := BUCKET SUBNETS SECURITY_GROUPS JWKS_URL JWT_ISSUER JWT_AUDIENCE

.DEFAULT_GOAL := help
.PHONY: help run test check soak format bench audit package deployable deploy

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Arguments go in ARGS: make run ARGS='--port 0 --tick 1', make test ARGS=tests/unit"

run: $(READY) ## Start the whole system on this machine, until Ctrl-C
	@exec $(PYTHON) -m local up $(ARGS)

test: $(READY) ## Run every test
	@exec $(PYTEST) $(ARGS)

check: $(READY) ## What CI runs: format, lint, types, imports, tests
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(PYTEST) $(ARGS)

soak: $(READY) ## The long suites: many rounds of kills and of random queries
	SOAK_ROUNDS=50 ODATA_EXAMPLES=8000 $(PYTEST) --timeout 1800 tests/faults tests/odata tests/pipeline/test_odata_fuzz.py $(ARGS)

bench: $(READY) ## Measure each step beside its limit; ARGS names some
	@exec $(PYTHON) -m bench $(ARGS)

audit: $(READY) ## Look all dependencies up among known vulnerabilities: needs the internet
	@$(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet pip-audit==2.10.1
	build/audit/bin/pip-audit -r requirements.txt -r requirements-dev.txt

package: $(READY) ## Package STAGE (prod) for CloudFormation, into build/
	@exec $(PYTHON) -m deploy $(STAGE)

deploy: deployable package ## Put STAGE into an AWS account: docs/operations.md
	aws cloudformation package --template-file build/$(STAGE)/sam.json --use-json \
	  --s3-bucket $(BUCKET) --s3-prefix punch-clock-$(STAGE) \
	  --output-template-file build/$(STAGE)/uploaded.json
	aws cloudformation deploy --stack-name punch-clock-$(STAGE) --capabilities CAPABILITY_IAM \
	  --template-file build/$(STAGE)/uploaded.json \
	  --s3-bucket $(BUCKET) --s3-prefix punch-clock-$(STAGE) --parameter-overrides \
	  SubnetIds=$(SUBNETS) SecurityGroupIds=$(SECURITY_GROUPS) \
	  JwksUrl=$(JWKS_URL) JwtIssuer=$(JWT_ISSUER) JwtAudience=$(JWT_AUDIENCE) Tracing=$(TRACING)

# Asked before anything is built.
deployable:
	@: $(foreach each,$(TOLD),$(if $($(each)),,$(error Say $(each)=…: docs/operations.md)))
	@command -v aws >/dev/null || { echo 'This needs the AWS CLI: https://aws.amazon.com/cli/' >&2; exit 1; }

format: $(READY) ## Format the code and mend what the linter can mend
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

# The wheels of requirements*.txt, in a virtual environment. Made again when those files change.
# .venv/wheels is for packaging: what is deployed, as Lambda's Linux takes it.
$(READY): requirements.txt requirements-dev.txt
	@found=; for python in $${PYTHON3:-} python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'This needs Python 3.11 or newer with its venv module, under the name python3 or' >&2; \
	  echo 'PYTHON3=/path/to/it. On Debian and Ubuntu: apt install python3 python3-venv' >&2; \
	  exit 1; \
	fi; \
	echo "Setting up .venv with $$($$found --version) …"; \
	$$found -m venv .venv && \
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --use-pep517 -r requirements-dev.txt && \
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --use-pep517 -r requirements.txt -w .venv/wheels && \
	$(PYTHON) -m pip download --quiet --disable-pip-version-check -r requirements.txt -d .venv/wheels \
	  --find-links .venv/wheels --only-binary :all: --platform manylinux2014_x86_64 && \
	touch $@
