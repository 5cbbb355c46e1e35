# Each target sets up what it needs first. Python 3.11 or newer is all that must be there before.

# Dozens of processes start here: each would compile every module if none kept the result.
unexport PYTHONDONTWRITEBYTECODE

PYTHON := .venv/bin/python
# No bytecode: Python compiles a module when it is first imported, and most never are.
INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-compile --use-pep517 --require-hashes -r
# Stamps of what is there: what `make run` needs, the tools of tests and checks, the tests and what they import as
# bytecode, the wheels to deploy.
RUN := .venv/.run
DEV := .venv/.dev
COMPILED := .venv/.compiled
WHEELS := .venv/wheels/.downloaded
# Four workers also on two cores: many tests wait for a timeout.
PYTEST := $(PYTHON) -m pytest --numprocesses 4 --dist worksteal

STAGE := prod
TRACING := PassThrough
# How intake is deployed and kept warm: docs/deployment.md.
WARM_INTAKE := 0
WARM_FROM := cron(45 5,13,21 * * ? *)
WARM_UNTIL := cron(15 6,14,22 * * ? *)
WARM_TIMEZONE := Etc/UTC
INTAKE_SNAPSTART := None
INTAKE_DEPLOYMENT := AllAtOnce
# How the API is reached: docs/deployment.md.
QUERY_RATE := 400
DOMAIN_NAME :=
CERTIFICATE_ARN :=
BASE_PATH :=
PUBLIC_URL :=
WAF_RATE := 0
ACCESS_LOG := false
# When alarms ring.
WORKING_HOURS := hour >= 6 && hour < 20 && day <= 5
LONGEST_WAIT := 7200
CANARY_EMPLOYER := 0
CANARY_EMPLOYEE := 0
# The journal; 0 days: none.
JOURNAL_DAYS := 0
JOURNAL_LOCK_DAYS := 35
JOURNAL_LOCK_MODE := GOVERNANCE
# The parameters of the template. IntakeRevision is computed from them.
PARAMETERS = SubnetIds=$(SUBNETS) SecurityGroupIds=$(SECURITY_GROUPS) \
  JwksUrl='$(JWKS_URL)' JwtIssuer='$(JWT_ISSUER)' JwtAudience='$(JWT_AUDIENCE)' Tracing=$(TRACING) \
  WarmIntake=$(WARM_INTAKE) WarmFrom='$(WARM_FROM)' WarmUntil='$(WARM_UNTIL)' WarmTimezone=$(WARM_TIMEZONE) \
  IntakeSnapStart=$(INTAKE_SNAPSTART) IntakeDeployment=$(INTAKE_DEPLOYMENT) \
  WorkingHours='$(WORKING_HOURS)' LongestWait=$(LONGEST_WAIT) \
  QueryRate=$(QUERY_RATE) DomainName=$(DOMAIN_NAME) CertificateArn=$(CERTIFICATE_ARN) BasePath=$(BASE_PATH) \
  PublicUrl='$(PUBLIC_URL)' WafRate=$(WAF_RATE) AccessLog=$(ACCESS_LOG) \
  CanaryEmployer=$(CANARY_EMPLOYER) CanaryEmployee=$(CANARY_EMPLOYEE) \
  JournalDays=$(JOURNAL_DAYS) JournalLockDays=$(JOURNAL_LOCK_DAYS) JournalLockMode=$(JOURNAL_LOCK_MODE)
UPLOAD = aws cloudformation package --template-file build/$(STAGE)/sam.json --use-json \
  --s3-bucket $(BUCKET) --s3-prefix punch-clock-$(STAGE) --output-template-file build/$(STAGE)/uploaded.json
# Creates or updates the stack. CloudFormation passes its tags on to all resources.
CLOUDFORMATION = aws cloudformation deploy --stack-name punch-clock-$(STAGE) --capabilities CAPABILITY_IAM \
  $(if $(CLOUDFORMATION_ROLE),--role-arn $(CLOUDFORMATION_ROLE)) \
  --template-file build/$(STAGE)/uploaded.json --s3-bucket $(BUCKET) --s3-prefix punch-clock-$(STAGE) \
  --no-fail-on-empty-changeset --tags application=punch-clock stage=$(STAGE) \
  --parameter-overrides $(PARAMETERS)
# The same for what stands beside the functions that Chalice deploys.
COMPANION = aws cloudformation deploy --stack-name punch-clock-$(STAGE) --no-fail-on-empty-changeset \
  --template-file build/$(STAGE)/companion.json --tags application=punch-clock stage=$(STAGE) \
  --parameter-overrides WorkingHours='$(WORKING_HOURS)' LongestWait=$(LONGEST_WAIT) CanaryEmployer=$(CANARY_EMPLOYER) \
  JournalDays=$(JOURNAL_DAYS) JournalLockDays=$(JOURNAL_LOCK_DAYS) JournalLockMode=$(JOURNAL_LOCK_MODE)
# Arguments of `make deploy` that have no default.
REQUIRED := BUCKET SUBNETS SECURITY_GROUPS JWKS_URL JWT_ISSUER JWT_AUDIENCE

.DEFAULT_GOAL := help
.PHONY: help run legacy test test-fast check types coverage soak format bench lock audit package deployable preflight deploy changes chalice-deploy

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Arguments go in ARGS: make run ARGS='--port 0 --tick 1', make test ARGS=tests/unit"

run: $(RUN) ## Start the whole system on this machine, until Ctrl-C
	@exec $(PYTHON) -m local up $(ARGS)

legacy: $(DEV) ## Run the real server of a recipe of docs/legacies.md: ARGS=soap
	@exec $(PYTHON) -m tests.legacies $(ARGS)

test: $(DEV) $(COMPILED) $(WHEELS) ## Run every test
	@exec $(PYTEST) $(ARGS)

test-fast: $(DEV) ## Run the tests of pure logic and architecture, about a minute
	@exec $(PYTEST) -m 'not engines and not slow' $(or $(ARGS),tests/unit tests/architecture)

check: $(DEV) ## What CI runs: format, lint, spelling, types, imports, tests
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	.venv/bin/codespell
	@$(MAKE) --no-print-directory --jobs 3 types $(COMPILED) $(WHEELS)
	.venv/bin/lint-imports
	$(PYTEST) $(ARGS)

types: $(DEV)
	$(PYTHON) -m mypy

# Measuring takes half as long again, which CI does not have.
coverage: $(DEV) $(WHEELS) ## Run every test, and measure which lines and branches they reach
	@exec $(PYTEST) --cov --cov-report=term $(ARGS)

soak: $(DEV) $(WHEELS) ## The long suites: half an hour of chaos, many rounds of kills and of random queries
	CHAOS_SECONDS=1800 $(PYTEST) -n 0 -s tests/chaos $(ARGS)
	SOAK=1 LIMITER_EXAMPLES=400 $(PYTEST) -m 'slow or soak' --timeout 1800 tests/unit tests/aws $(ARGS)
	SOAK_ROUNDS=50 ODATA_EXAMPLES=8000 OPENAPI_EXAMPLES=500 $(PYTEST) --timeout 1800 \
	  tests/faults tests/odata tests/pipeline/test_odata_fuzz.py tests/clients/test_openapi.py $(ARGS)

bench: $(DEV) ## Measure each step beside its limit; ARGS names some
	@exec $(PYTHON) -m bench $(ARGS)

lock: ## Pin every package that the requirements need, with its hashes, for each system and Python
	@python3 -m venv build/lock && build/lock/bin/pip install --quiet uv==0.13.9
	@for each in requirements local/requirements local/requirements-node requirements-dev; do \
	  build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --custom-compile-command 'make lock' $(ARGS) $$each.txt --output-file $$each.lock; \
	done

audit: ## Look up all dependencies among known vulnerabilities: needs the internet
	@python3 -m venv build/audit && build/audit/bin/pip install --quiet pip-audit==2.10.1
	build/audit/bin/pip-audit -r requirements.txt -r requirements-dev.txt -r local/requirements-node.txt

package: $(DEV) $(WHEELS) ## Package STAGE (prod) for CloudFormation, into build/
	@exec $(PYTHON) -m deploy package $(STAGE) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) $(ARGS)

deploy: deployable preflight package ## Deploy STAGE to an AWS account: docs/deployment.md
	$(UPLOAD)
	revision=$$($(PYTHON) -m deploy.revision build/$(STAGE)/sam.json $(PARAMETERS)) && \
	protect=$$($(PYTHON) -m deploy protection $(STAGE)) && \
	$(CLOUDFORMATION) IntakeRevision=$$revision ProtectTable=$$protect && \
	$(CLOUDFORMATION) IntakeRevision=$$revision ProtectTable=true

changes: deployable preflight package ## Propose what `make deploy` would change, as a change set
	$(UPLOAD)
	revision=$$($(PYTHON) -m deploy.revision build/$(STAGE)/sam.json $(PARAMETERS)) && \
	protect=$$($(PYTHON) -m deploy protection $(STAGE)) && \
	$(CLOUDFORMATION) IntakeRevision=$$revision ProtectTable=$$protect --no-execute-changeset

chalice-deploy: preflight $(DEV) $(WHEELS) ## Deploy a stage that `python -m deploy configure` wrote, by Chalice
	$(PYTHON) -m deploy companion $(STAGE)
	protect=$$($(PYTHON) -m deploy protection $(STAGE)) && \
	$(COMPANION) ProtectTable=$$protect FunctionsExist=false
	$(PYTHON) -m deploy chalice $(STAGE) deploy
	$(COMPANION) ProtectTable=true FunctionsExist=true

# Checked before anything is built.
deployable:
	@: $(foreach each,$(REQUIRED),$(if $($(each)),,$(error Set $(each)=…: docs/deployment.md)))

preflight: $(RUN)
	@exec $(PYTHON) -m deploy preflight $(STAGE) $(if $(BUCKET),--bucket $(BUCKET))

format: $(DEV) ## Format the code and fix what the linter can fix
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

# The virtual environment, made again when the requirements change.
$(RUN): requirements.txt local/requirements.txt local/requirements.lock
	@chosen=; for python in $${PYTHON3:-} python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo 'This needs Python 3.11 or newer with its venv module, under the name python3 or' >&2; \
	  echo 'PYTHON3=/path/to/it. On Debian and Ubuntu: apt install python3 python3-venv' >&2; \
	  exit 1; \
	fi; \
	echo "Setting up .venv with $$($$chosen --version) …"; \
	start=$$(date +%s); \
	$$chosen -m venv .venv && $(INSTALL) local/requirements.lock && touch $@ && \
	echo "Installed the packages of the one-machine stack in $$(($$(date +%s) - start)) s"

$(DEV): $(RUN) requirements-dev.txt requirements-dev.lock
	@echo 'Installing the tools of tests and checks …'; start=$$(date +%s); \
	$(INSTALL) requirements-dev.lock && touch $@ && \
	echo "Installed them in $$(($$(date +%s) - start)) s"

# Otherwise each worker would compile every module. The tests report what cannot be collected.
$(COMPILED): $(DEV)
	@$(PYTHON) -m pytest --collect-only -qq >/dev/null 2>&1; touch $@

# What is deployed, as wheels for Lambda's Python and Linux.
$(WHEELS): requirements.lock deploy/runtime.py deploy/wheels.py $(RUN)
	@$(PYTHON) -m deploy.wheels $(@D) && touch $@
