# All generated files are in .build: the virtual environment, stamps, caches. `make clean` removes it.
SHELL := /bin/sh
BUILD := $(CURDIR)/.build
VENV := $(BUILD)/venv
COLLECTIONS := $(BUILD)/collections
SELF := $(COLLECTIONS)/ansible_collections/virtnet/linux
# Processes for the kernel tests, which mostly wait: for a lease, or for the timeout of a blocked packet.
WORKERS := 6
# The summary names failures, errors, and the tests of tests/tools/retries.py that passed only when run again.
SUMMARY := -rfER
UNIT := pytest tests/unit -n $$(nproc) $(SUMMARY)
KERNEL := pytest tests/kernel -n $(WORKERS) --dist worksteal $(SUMMARY)
# Leaves out the tests with the mark `nightly`, which make test-all runs.
BRIEF := -m 'not nightly'
# Measures which lines of the engine tests run, in every process: each then takes almost twice as much CPU.
MEASURED := COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml COVERAGE_FILE=$(BUILD)/coverage
# Kernel tests that print tables.
SHOW := PYTHONPATH=$(COLLECTIONS):tests python -m kernel
# Programs for tests and documentation: tests/tools/__init__.py lists them.
TOOL := PYTHONPATH=$(COLLECTIONS):tests python -m tools
LAB := PYTHONPATH=tests $(VENV)/bin/python -m lab
# Supported versions of ansible-core, besides that of requirements/test.txt, each in .build/ansible-VERSION.
ANSIBLES := 2.17.14 2.18.19

export PATH := $(VENV)/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export ANSIBLE_HOME := $(BUILD)/ansible
export MYPYPATH := $(COLLECTIONS):$(CURDIR)/tests
# Byte code is kept, since compiling takes longer than most programs, but not in the source tree.
export PYTHONPYCACHEPREFIX := $(BUILD)/pycache
# Tests wait for output of their programs on a pipe.
export PYTHONUNBUFFERED := 1

.PHONY: help setup packages pin test test-all lint docs gates quick coverage changelog unit browser fuzz kernel molecule demo demo-clean bench bench-guard torture build clean
.PHONY: hosts imports ways fleet matrix inventory-matrix ovs-matrix dnsmasq-matrix dnsmasq-outage dnsmasq-memory dnsmasq-move guard-record libvirt-elements libvirt-wild libvirt-record libvirt-tests adopt-cuts

help:
	@echo 'make demo        a network from one command, on a disposable host, shown in a table'
	@echo 'make demo-clean  removes the hosts of the demo'
	@echo 'make test        quick, kernel, molecule; without the slow tests'
	@echo 'make test-all    these, the slow tests and scenarios, all hosts and versions'
	@echo 'make quick       lint, docs, gates, unit and browser, two at a time'
	@echo 'make gates       checks for published collections: ansible-test, galaxy-importer, ...'
	@echo 'make coverage    unit and kernel tests, and their coverage of the engine'
	@echo 'make changelog   release notes of this version from changelogs/fragments'
	@echo 'make fuzz        the unit tests, and texts parsed by nft and dnsmasq, with more examples of hypothesis'
	@echo 'make docs        the guides and the reference as a site in .build/docs, with checked links'
	@echo 'make setup       installs Debian packages, and a virtual environment in .build'
	@echo 'make dnsmasq-matrix  which services of the host'"'"'s dnsmasq each client gets, before and after, as a table'
	@echo 'make dnsmasq-outage  how long guests get no answer while their network changes'
	@echo 'make dnsmasq-move  leases that move from one dnsmasq to another and back, as a table'
	@echo 'make libvirt-elements  the option for every element of libvirt'"'"'s network XML, as a table'
	@echo 'make libvirt-wild  which definitions of libvirt'"'"'s are taken, differ or are refused, as a table'
	@echo 'make libvirt-record  what libvirt makes of new ones, by its daemon in a file system of its own (root)'
	@echo 'make libvirt-tests  the networks of libvirt'"'"'s own tests, fetched from Debian'"'"'s sources'
	@echo 'make adopt-cuts  adoption and release of libvirt'"'"'s networks, killed at every single step'
	@echo 'make dnsmasq-memory  memory of one dnsmasq for all networks, compared with one for each'
	@echo 'make guard-record    a flush, a lost bridge and a conflict, recorded with the ping of a guest'
	@echo 'make inventory-matrix  tests of the inventory of guests with each supported version of ansible-core'
	@echo 'make hosts       the shortest list of networks on hosts as people have them, as a table; optional ONLY="NAME ..."'
	@echo 'make ways        the ways in which each version of ansible-core reaches a host: ssh, sudo, pull, ...; as a table'
	@echo 'make imports     networks of NetworkManager, systemd-networkd and incus, imported and run as ours; optional ONLY="OWNER ..."'
	@echo 'make fleet       a fleet of five hosts of which one is down, as a table'
	@echo 'make matrix      who reaches whom in each mode, with real packets, as a table'
	@echo 'make ovs-matrix  the same on bridges of Open vSwitch'
	@echo 'make torture     runs that are killed or disturbed at any step, as a table; optional SECONDS=600 SEED=1'
	@echo 'make bench       comparison with libvirt, NetworkManager and others; writes docs/benchmarks.md (some 25 minutes)'
	@echo 'make bench-guard     how long the guard takes to repair faults'
	@echo 'make build       the tarball that ansible-galaxy installs, in .build'
	@echo 'make pin         installs the newest Python packages and pins their versions'
	@echo 'make clean       removes hosts, images and .build'

setup: packages $(BUILD)/venv.stamp $(SELF)

# dpkg is asked each time: that is fast, and a stamp would not show that a package was removed.
packages:
	@mkdir -p $(BUILD)
	@missing=$$(sh tests/tools/missing-packages requirements/debian.txt); \
	if [ -n "$$missing" ]; then \
	    echo "==> installing" $$missing; \
	    { apt-get update && DEBIAN_FRONTEND=noninteractive \
	        apt-get install --yes --no-install-recommends $$missing; } > $(BUILD)/apt.log 2>&1 \
	    || { cat $(BUILD)/apt.log; exit 1; }; \
	fi

$(BUILD)/venv.stamp: requirements/test.txt | packages
	@echo '==> virtual environment in .build/venv (some 40 s)'
	@rm -rf $(VENV) && python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -qq --requirement requirements/test.txt
	@touch $@

$(SELF):
	@mkdir -p $(@D) && ln -sfn $(CURDIR) $@

pin: packages
	rm -rf $(VENV) && python3 -m venv $(VENV)
	$(VENV)/bin/pip install -qq --requirement requirements/test.in
	(echo '# Written by `make pin` from test.in.'; $(VENV)/bin/pip freeze) > requirements/test.txt

test: setup quick kernel molecule

# Also the slow scenarios, all hosts, and the coverage.
test-all: setup lint docs gates coverage browser molecule inventory-matrix ways hosts
	@python tests/gates $(BUILD)/gates nightly
	$(TOOL).scenarios nightly
	VIRTNET_EVERY_CASE=1 pytest tests/kernel/test_check_mode.py -n $(WORKERS) --dist worksteal $(SUMMARY)

lint: setup
	@python tests/gates $(BUILD)/gates lint

docs: setup
	@$(TOOL).docs_site

# Checks for published collections; WHAT="REUSE galaxy-importer" runs only these.
gates: setup
	@python tests/gates $(BUILD)/gates $(or $(WHAT),publish)

# All that needs neither root nor containers, two at a time: most of it has one process.
quick: setup
	@python tests/gates $(BUILD)/gates lint publish unit docs browser

unit: setup
	$(UNIT)

browser: setup
	pytest tests/browser $(SUMMARY)
	@ls .build/screenshots/*.png

# Fails if a test does; then prints the coverage and the missed lines.
coverage: setup
	@rm -rf $(BUILD)/coverage && mkdir -p $(BUILD)/coverage/unit $(BUILD)/coverage/kernel
	$(MEASURED)/unit/data $(UNIT)
	$(MEASURED)/kernel/data $(KERNEL)
	-@python tests/gates/coverage_report.py $(BUILD)/coverage/unit $(BUILD)/coverage/kernel

fuzz: setup
	HYPOTHESIS_PROFILE=fuzz pytest tests/unit tests/kernel/test_texts.py -n $$(nproc) --timeout 3600

kernel: setup
	$(KERNEL) $(BRIEF)

dnsmasq-outage: setup
	@$(SHOW).dnsmasq_outage

dnsmasq-move: setup
	@$(SHOW).dnsmasq_move

dnsmasq-memory: setup
	@$(SHOW).dnsmasq_memory

guard-record: setup
	@$(SHOW).guard_record

dnsmasq-matrix: setup
	@$(SHOW).dnsmasq_matrix

ways: setup $(ANSIBLES:%=$(BUILD)/ansible-%.stamp)
	@PYTHONPATH=$(COLLECTIONS):tests python -m hosts.ways $(ANSIBLES) installed

hosts: setup
	@PYTHONPATH=$(COLLECTIONS):tests python -m hosts $(ONLY)

imports: setup
	@PYTHONPATH=$(COLLECTIONS):tests python -m hosts.imports $(ONLY)

fleet: setup
	@$(SHOW).fleet_of_five

matrix: setup
	@$(SHOW).matrix

inventory-matrix: setup $(ANSIBLES:%=$(BUILD)/ansible-%.stamp)
	VIRTNET_ANSIBLES='$(ANSIBLES) installed' pytest tests/kernel/test_guests_inventory.py tests/kernel/test_guests_proxy.py \
	    -n $(WORKERS) --dist worksteal $(SUMMARY)

$(BUILD)/ansible-%.stamp: | packages
	@echo '==> ansible-core $* in .build/ansible-$*'
	@rm -rf $(BUILD)/ansible-$* && python3 -m venv $(BUILD)/ansible-$*
	@$(BUILD)/ansible-$*/bin/pip install -qq ansible-core==$*
	@touch $@

ovs-matrix: setup
	@$(SHOW).matrix --openvswitch

libvirt-elements: setup
	@$(TOOL).libvirt_elements

libvirt-wild: setup
	@$(TOOL).libvirt_wild

libvirt-record:
	@tests/tools/record-libvirt tests/unit/libvirt_xml/wild

libvirt-tests: setup
	@$(TOOL).libvirt_sources

adopt-cuts: setup
	VIRTNET_CUTS=all molecule test -s adopt

molecule: setup
	$(TOOL).scenarios

demo: setup
	@$(VENV)/bin/python demo/demo.py

demo-clean:
	@[ ! -x $(VENV)/bin/python ] || $(LAB) down demo

# PARTS="control engine rules rates outage fleet" measures these again, PARTS=page nothing; N, HOSTS: how many networks
# and light hosts; MINUTES: the time limit of the comparison with other tools, which are slow.
bench: setup
	@PYTHONPATH=$(COLLECTIONS):tests python -m bench $(PARTS) $(if $(N),--networks $(N)) $(if $(HOSTS),--hosts $(HOSTS)) \
	    $(if $(MINUTES),--minutes $(MINUTES))

# How long the guard takes to repair faults.
bench-guard: setup
	python tests/bench/guard.py

SECONDS := 600
torture: setup
	@PYTHONPATH=$(COLLECTIONS):tests python -m torture --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# The fragments in changelogs/fragments become notes of the version in galaxy.yml.
changelog: setup
	antsibull-changelog release --update-existing

build: setup
	ansible-galaxy collection build --force --output-path $(BUILD)

clean:
	@[ ! -x $(VENV)/bin/python ] || $(LAB) clean
	rm -rf $(BUILD)
