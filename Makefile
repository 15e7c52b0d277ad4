# Every target does its own set-up and is cheap to run again: the programs redo nothing.
# Variables: DATA CACHE RUN WEIGHTS FLAGS, see `make`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup sample features train finetune evaluate predict compare audit report test lint format bench lock clean

PYTHON ?= python3
VENV := .venv
RUN_PYTHON := $(VENV)/bin/python
SETUP_DONE := $(VENV)/.setup-done

# Memory in pages of 2 MiB, where Linux gives them to who asks (`madvise`) and glibc can ask (2.35):
# a step of training, which changes 51 million weights, is faster by 4 to 12 %.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

# A misspelt variable would be left out without a word, and the sample taken for DATA.
VARIABLES := DATA CACHE RUN COMPARE AUDIT WEIGHTS FLAGS CLIPS PYTHON
given = $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(filter-out $(VARIABLES) WORK VENV TUNE_CACHE TUNE_RUN SHELL,$(given))
$(if $(UNKNOWN),$(error Unknown variable $(UNKNOWN). Expected some of $(VARIABLES)))

# What users name may hold blanks and quotes: one word of the shell, and of make where it cuts words.
quote = '$(subst ','\'',$(1))'
exists = $(shell test -e $(call quote,$(1)) && echo yes)
EMPTY :=
COMMA := ,
BLANK := $(EMPTY) $(EMPTY)
TAB := $(EMPTY)	$(EMPTY)
# The path as a whole, as `..` and `.` are no names; make's own folder may have blanks too.
tie = $(subst $(TAB),?,$(subst $(BLANK),?,$(1)))
whole = $(call tie,$(abspath $(call tie,$(1))))
# An empty folder would be the current one.
refuse_empty = $(if $(filter-out undefined,$(origin $(1))),$(if $(strip $($(1))),,$(error $(1) is empty. $(2))))
$(call refuse_empty,DATA,Name a folder or a .csv$(COMMA) or leave DATA out for the sample)
$(foreach name,CACHE RUN COMPARE AUDIT,$(call refuse_empty,$(name),Name a folder$(COMMA) or leave $(name) out))

# Make drops a `$` of theirs with the sign behind it, such as the quote that ends a regular expression.
BRACKET := (
DOLLAR := $$
# What a variable has beside those that are meant for make.
raw = $(subst $(DOLLAR){,,$(subst $(DOLLAR)$(BRACKET),,$(subst $(DOLLAR)$(DOLLAR),,$(value $(1)))))
$(foreach name,$(VARIABLES),$(if $(findstring $(DOLLAR),$(call raw,$(name))),$(error \
  $(name)=$(value $(name)): make reads $(DOLLAR) itself. Write $(DOLLAR)$(DOLLAR) for it)))

# Make cuts a command there, and does not miss a flag that stands behind it.
define NEWLINE


endef
$(foreach name,$(VARIABLES),$(if $(findstring $(NEWLINE),$(value $(name))),$(error \
  $(name) has several lines, of which make reads the first. Write it in one)))

# Bash would run what stands behind such a sign, make two words of one, or tell of a syntax error, and
# not of what it misses. Quotes, escapes and `$$` are meant for it.
READ_BY_SHELL := ( ) { ; & | < >
QUOTING := ' " \ $$
EXAMPLE_FLAGS := --group_regex=s([0-9]+)
EXAMPLE_CLIPS := a (1).mp4
find_signs = $(strip $(foreach sign,$($(1)),$(findstring $(sign),$($(2)))))
$(foreach name,FLAGS CLIPS,$(if $(call find_signs,READ_BY_SHELL,$(name)),$(if $(call find_signs,QUOTING,$(name)),,$(error \
  $(name)=$($(name)): the shell reads $(call find_signs,READ_BY_SHELL,$(name)) itself. Put what has it in quotes of its \
  own$(COMMA) such as $(name)="'$(EXAMPLE_$(name))'"))))

# Without DATA, everything runs on the built-in sample, which needs no download.
WORK := work
ifneq ($(origin DATA),undefined)
NAME := $(subst ?,$(BLANK),$(notdir $(patsubst %.CSV,%,$(patsubst %.csv,%,$(call whole,$(DATA))))))
else
NAME := sample
override DATA := $(WORK)/sample/data/manifest.csv
WEIGHTS ?= random
SAMPLE_TARGET := sample
SAMPLE_FLAGS := --image_size=64
# A run does not say which cache it is of; taken for the sample's, it would be scored on other clips.
ifeq ($(origin CACHE),undefined)
ifneq ($(origin RUN),undefined)
need_cache = $(if $(filter $(call whole,$(WORK)/sample)/%,$(call whole,$(RUN))),,$(error RUN=$(RUN) is \
  not of the sample. Name the clips that it was trained on (DATA=...) or their cache (CACHE=...)))
endif
endif
endif
# Left out, the weights are what the cache has, else ImageNet's.
WEIGHTS_FLAG := $(if $(WEIGHTS),--weights=$(call quote,$(WEIGHTS)))
# Where a run's weights are now, which the sample's default does not say.
MOVED_WEIGHTS_FLAG := $(if $(filter-out file,$(origin WEIGHTS)),$(WEIGHTS_FLAG))
# Fine-tuning starts from another cut, and so from another cache. Unless that is named, it follows
# the cache of the head, where there is one: with other splits, clips that are tested there would be
# trained on here. Of imported features it takes the splits alone.
TUNE_RUN := $(or $(RUN),$(WORK)/$(NAME)/finetuned)
ifeq ($(origin CACHE),undefined)
CACHE := $(WORK)/$(NAME)/cache
TUNE_CACHE := $(CACHE)_block4_pool
HEAD_LIST = $(if $(call exists,$(CACHE)/manifest.csv),$(CACHE)/manifest.csv)
HEAD_IS_VGG16 = $(if $(HEAD_LIST),$(shell grep -s '"backbone": "vgg16"' $(call quote,$(CACHE)/cache.json)))
else
TUNE_CACHE := $(CACHE)
# What is named is fine-tuned as it is, and made by `features` of another cut.
TUNE_CUT := $(COMMA) and FLAGS=--cut=block4_pool
endif
# What uses a run trains one first. One that was named is there, or its name is wrong.
ifeq ($(origin RUN),undefined)
RUN := $(WORK)/$(NAME)/run
define need_run
$(call check_flags,$(1))
@test -e $(call quote,$(RUN)/model.keras) || $(MAKE) --no-print-directory train FLAGS= >&2
endef
endif
# What the report shows beside the run, where it has been made.
COMPARE ?= $(WORK)/$(NAME)/compare
AUDIT ?= $(WORK)/$(NAME)/audit

help:
	@echo 'LRCN: from a folder of clips to a classifier of videos.'
	@echo
	@echo '  make train                on the built-in sample'
	@echo '  make train DATA=my/clips  on DATA/<class>/<clip>.mp4,'
	@echo '                            DATA/<class>/<clip>/*.jpg or a .csv'
	@echo
	@echo 'Targets'
	@echo '  setup      virtual environment $(VENV) from the hash-locked requirements.lock'
	@echo '  sample     render the built-in sample'
	@echo '  features   stage 1: frozen VGG16 over every frame, into CACHE'
	@echo '  train      stage 2: train the head on CACHE and score it on the test clips,'
	@echo '             into RUN'
	@echo '  finetune   train the head and the last layers of VGG16, into RUN; on the'
	@echo '             clips, splits and settings of train where that has been run,'
	@echo '             unless CACHE is named'
	@echo '  evaluate   print the scores of RUN as a table'
	@echo '  predict    name the class of new videos, or of imported features:'
	@echo '             make predict RUN=... CLIPS="a.mp4 folder/"'
	@echo '  compare    does the RNN earn its place? Nine models, several seeds, a verdict'
	@echo '  audit      near-duplicate clips that straddle splits'
	@echo '  report     write RUN/report.html, with compare and audit where they are made'
	@echo '  test       run the tests'
	@echo '  lint       check style; format applies it'
	@echo '  lock       write requirements.lock anew'
	@echo '  bench      time both stages and fine-tuning beside other ways to do the same'
	@echo '             (benchmarks/); FLAGS="--rounds=5" is for all that take rounds'
	@echo '  clean      remove $(VENV) and what tools leave; never a cache or a run'
	@echo
	@echo 'Variables'
	@echo '  DATA       folder of clips or a .csv manifest (the built-in sample)'
	@echo '  CACHE      feature cache ($(WORK)/<name of DATA>/cache; for finetune'
	@echo '             cache_block4_pool)'
	@echo '  RUN        run ($(WORK)/<name of DATA>/run; for finetune finetuned)'
	@echo '  COMPARE    what compare makes; AUDIT what audit makes (beside the run)'
	@echo '  WEIGHTS    imagenet, random or a file (what CACHE has, else imagenet)'
	@echo '  CLIPS      what to predict; in quotes of its own where a name has blanks:'
	@echo '             CLIPS="'\''a b.mp4'\''"'
	@echo '  FLAGS      more flags for the program of the target, such as'
	@echo '             FLAGS="--seq_len=32". Those of stage 1 go to features, which train,'
	@echo '             finetune, compare and audit then follow. In quotes of its own what'
	@echo '             the shell would read:'
	@echo '             make features FLAGS="'\''--group_regex=s([0-9]+)'\''"'
	@echo '  PYTHON     Python 3.11 to 3.13 for the set-up (python3)'

setup: $(SETUP_DONE)

# All output of the set-up goes to stderr: stdout is for results. An environment whose making was
# stopped has a Python and no whole pip.
$(SETUP_DONE): requirements.lock pyproject.toml
	@echo 'Setting up $(VENV) (once)' >&2
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "error: Python 3.11 to 3.13 is needed, $$($(PYTHON) --version) found. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(RUN_PYTHON) -m pip show --quiet pip 2> /dev/null || $(PYTHON) -m venv $(VENV)
	@$(RUN_PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock >&2
	@$(RUN_PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
	@touch $@

sample: $(SETUP_DONE)
	@$(RUN_PYTHON) -m extract_features.render_sample --output_dir=$(WORK)/sample/data >&2

EXTRACT = $(RUN_PYTHON) -m extract_features --data=$(call quote,$(DATA)) $(WEIGHTS_FLAG) $(SAMPLE_FLAGS)
FILL_CACHE = $(EXTRACT) --cache_dir=$(call quote,$(CACHE))
# Programs, each with the flags that name its folders.
TRAIN = -m train_head --cache_dir=$(call quote,$(CACHE)) --run_dir=$(call quote,$(RUN)) $(FLAGS)
TUNE = -m train_head.fine_tune --cache_dir=$(call quote,$(TUNE_CACHE)) --run_dir=$(call quote,$(TUNE_RUN)) \
  $(if $(HEAD_LIST),--manifest=$(call quote,$(HEAD_LIST))) $(MOVED_WEIGHTS_FLAG) $(FLAGS)
RECUT = -m train_head.recut --cache_dir=$(call quote,$(CACHE)) --new_cache_dir=$(call quote,$(TUNE_CACHE))
TUNE_REMEDY = { status=$$?; [ $$status != 1 ] || echo 'error: fine-tuning follows' $(call quote,$(CACHE)). 'If' \
  $(call quote,$(TUNE_CACHE)) 'was made with other settings, remove it and run this again.' >&2; exit $$status; }
EVALUATE = -m train_head.evaluate --cache_dir=$(call quote,$(CACHE)) --run_dir=$(call quote,$(RUN)) $(FLAGS)
PREDICT = -m train_head.predict --run_dir=$(call quote,$(RUN)) $(MOVED_WEIGHTS_FLAG) $(FLAGS) $(CLIPS)
COMPARISON = -m train_head.compare --cache_dir=$(call quote,$(CACHE)) --output_dir=$(call quote,$(COMPARE)) $(FLAGS)
AUDITING = -m train_head.audit --cache_dir=$(call quote,$(CACHE)) --output_dir=$(call quote,$(AUDIT)) $(FLAGS)
REPORT = -m train_head.report --cache_dir=$(call quote,$(CACHE)) --run_dir=$(call quote,$(RUN)) \
  $(if $(call exists,$(COMPARE)/compare.json),--compare_dir=$(call quote,$(COMPARE))) \
  $(if $(call exists,$(AUDIT)/audit.json),--audit_dir=$(call quote,$(AUDIT))) $(FLAGS)

# A wrong flag is answered before hours of extraction, and one of stage 1 is sent to where it goes.
define check_flags
@{ problem=$$($(RUN_PYTHON) $(1) --only_check_args 2>&1 >&3); } 3>&1 || { echo "$$problem" >&2; \
  name=$$(sed -n "s/.*Unknown command line flag '\([a-z0-9_]*\)'.*/\1/p" <<< "$$problem"); \
  if [ "$$name" ] && grep -Eq -- "^ +--(\[no\])?$$name:" <<< "$$($(RUN_PYTHON) -m extract_features --help)"; then \
    echo "error: --$$name is a flag of stage 1. Give it to make features (with the same DATA and CACHE$(2)), then run this again without it." >&2; \
  fi; exit 1; }
endef

features: $(SETUP_DONE) $(SAMPLE_TARGET)
	@$(FILL_CACHE) $(FLAGS)

train: $(SETUP_DONE) $(SAMPLE_TARGET)
	$(call check_flags,$(TRAIN))
	@$(FILL_CACHE)
	@$(RUN_PYTHON) $(TRAIN)

finetune: $(SETUP_DONE) $(SAMPLE_TARGET)
	$(call check_flags,$(TUNE),$(TUNE_CUT))
	@$(if $(HEAD_IS_VGG16),$(FILL_CACHE))
	@$(if $(HEAD_IS_VGG16),recut=$$($(RUN_PYTHON) $(RECUT)); eval "$(RUN_PYTHON) $${recut#python }" || $(TUNE_REMEDY),\
	  $(EXTRACT) --cache_dir=$(call quote,$(TUNE_CACHE)) --cut=block4_pool)
	@$(RUN_PYTHON) $(TUNE)

evaluate: $(SETUP_DONE)
	$(need_cache)
	$(call need_run,$(EVALUATE))
	@$(RUN_PYTHON) $(EVALUATE)

predict: $(SETUP_DONE)
	$(call need_run,$(PREDICT))
	@$(RUN_PYTHON) $(PREDICT)

compare: $(SETUP_DONE) $(SAMPLE_TARGET)
	$(call check_flags,$(COMPARISON))
	@$(FILL_CACHE)
	@$(RUN_PYTHON) $(COMPARISON)

audit: $(SETUP_DONE) $(SAMPLE_TARGET)
	$(call check_flags,$(AUDITING))
	@$(FILL_CACHE)
	@$(RUN_PYTHON) $(AUDITING)

report: $(SETUP_DONE)
	$(need_cache)
	$(call need_run,$(REPORT))
	@$(RUN_PYTHON) $(REPORT)

test: $(SETUP_DONE)
	@$(RUN_PYTHON) -m pytest $(FLAGS)

lint: $(SETUP_DONE)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

format: $(SETUP_DONE)
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

# Those that time rows in rounds have FLAGS in common, and refuse what one of them does not know.
bench: $(SETUP_DONE)
	@$(RUN_PYTHON) -m benchmarks.stage1_speed $(FLAGS) --only_check_args
	@$(RUN_PYTHON) -m benchmarks.stage2_speed $(FLAGS) --only_check_args
	@$(RUN_PYTHON) -m benchmarks.fine_tune_speed $(FLAGS) --only_check_args
	@$(RUN_PYTHON) -m benchmarks.stage1_speed $(FLAGS)
	@$(RUN_PYTHON) -m benchmarks.cache_size
	@$(RUN_PYTHON) -m benchmarks.stage2_speed $(FLAGS)
	@$(RUN_PYTHON) -m benchmarks.fine_tune_speed $(FLAGS)

# pip-tools is not part of the set-up; it runs in an environment of its own.
lock:
	@test -x .venv-lock/bin/pip-compile || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet pip-tools; }
	@.venv-lock/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --extra=dev --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --no-header --output-file=requirements.lock pyproject.toml

clean:
	@rm -rf $(VENV) .venv-lock .pytest_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
