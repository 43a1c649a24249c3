# Sluice. `make` builds build/sluice; `make run` and `make test` set up what
# they need first and say so. `make help` lists the rest.
#
# Variants share this file: VARIANT=asan|tsan|release, CC=gcc|clang-14. With gcc the
# release is optimised across the files that a request passes through: 6 % fewer
# instructions for it, 15 s more for each link. LTO= does without.

VARIANT ?= release
BUILD   ?= $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
PYTHON  ?= python3
Q       := $(if $(V),,@)

WARN    := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes \
           -Wmissing-prototypes -Wvla -Werror=implicit-function-declaration
# Without a frame pointer a request takes 2 % fewer instructions; the sanitizers walk by it.
FRAMES  := $(if $(filter release,$(VARIANT)),-fomit-frame-pointer,-fno-omit-frame-pointer)
BASEFLAGS := -std=c17 -D_GNU_SOURCE -Isrc -isystem /usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1 \
           -g $(FRAMES) -fPIE -pthread
X86     := $(findstring x86_64,$(shell $(CC) -dumpmachine))
HARDEN  := -fstack-protector-strong -fstack-clash-protection $(if $(X86),-fcf-protection) \
           -D_FORTIFY_SOURCE=2 $(if $(findstring clang,$(CC)),,-ftrivial-auto-var-init=zero)
# Structures are cleared and copied by moves or in libc; gcc's "rep" takes its time to begin.
NOREP   := $(foreach f,memset memcpy,-m$f-strategy=unrolled_loop:192:noalign,libcall:-1:noalign)
OPT_release := -O3 -fno-plt -ffunction-sections $(HARDEN) $(if $(findstring clang,$(CC)),,$(if $(X86),$(NOREP)))
OPT_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan    := -O1 -fsanitize=thread
CFLAGS  ?=
ALL_CFLAGS := $(BASEFLAGS) $(WARN) $(OPT_$(VARIANT)) $(CFLAGS)
# What refers to itself most comes first: at each start 5,000 names are looked up in this order.
LDLIBS  := -lcrypto -lsqlite3 -lssl -lnghttp2 -lcares -lyaml -lz -lm
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack $(LINK_LTO) \
           $(filter -fsanitize%,$(OPT_$(VARIANT))) $(LDFLAGS)

# The objects hold both kinds of code, so that programs of tests link quickly.
LINK_LTO = -fno-lto
LTO     ?= $(if $(filter release,$(VARIANT)),$(if $(findstring clang,$(CC)),,1))
LTO_IN  := $(if $(LTO),base net pipeline surfaces routing model ledger telemetry)

SRC     := $(filter-out src/app/main.c,$(sort $(wildcard src/*/*.c)))
OBJ     := $(SRC:%.c=$(BUILD)/obj/%.o)
LLHTTP  := $(patsubst %,$(BUILD)/obj/llhttp/%.o,llhttp api http)
TEST_SRC:= $(sort $(wildcard tests/unit/*_test.c))
TESTS   := $(TEST_SRC:tests/unit/%.c=$(BUILD)/unit/%)

.PHONY: all run test unit unit-build lint fuzz fuzz-build crash bench bench-quick bench-json bench-failover docs install clean help
all: $(BUILD)/sluice

help:
	@echo "make            build build/sluice (optimised, hardened, with debug symbols)"
	@echo "make run        install what is missing, build, start on 127.0.0.1:8080"
	@echo "make test       install what is missing, run every test"
	@echo "make unit       unit tests only (also VARIANT=asan, VARIANT=tsan)"
	@echo "make fuzz       each fuzz target, 20,000 inputs; FUZZ_SECONDS=60 for that long"
	@echo "make crash      kill the ledger at every write, at random and with power loss"
	@echo "make bench      CPU, latency and memory against nginx and HAProxy (8 minutes)"
	@echo "make bench-quick  the same, rougher, in about a minute"
	@echo "make bench-failover  how long a request takes to the next target when one fails"
	@echo "make lint       layers, banned functions, file length, docs up to date"
	@echo "make docs       write docs/configuration.md from the option table"
	@echo "make install    into PREFIX (/usr/local), below DESTDIR if set"
	@echo "make clean      remove build/"

# Arguments for the gateway: make run ARGS="--config sluice.yaml"
run:
	@tools/deps run
	@tools/vocabulary
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc)) all
	@exec $(BUILD)/sluice serve $(ARGS)

test:
	@tools/deps test
	@tools/vocabulary
	@exec tools/run-tests

lint: $(BUILD)/options-doc
	$(Q)$(PYTHON) tools/lint.py
	@$(BUILD)/options-doc docs/configuration.md | cmp -s - docs/configuration.md || \
		{ echo "docs/configuration.md is not what the option table says: run make docs"; exit 1; }

# The text around the tables is kept, the tables are written anew.
docs: $(BUILD)/options-doc
	$(Q)$(BUILD)/options-doc docs/configuration.md >$(BUILD)/configuration.md
	$(Q)mv $(BUILD)/configuration.md docs/configuration.md

$(BUILD)/options-doc: tools/options_doc.c $(BUILD)/libsluice.a
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(ALL_LDFLAGS) $(BUILD)/libsluice.a $(LDLIBS)

PREFIX  ?= /usr/local
install: $(BUILD)/sluice
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(BUILD)/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	sed 's|/usr/local|$(PREFIX)|' contrib/sluice.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/sluice.service

$(BUILD)/sluice: $(BUILD)/obj/src/app/main.o $(BUILD)/libsluice.a $(if $(LTO),$(BUILD)/sluice.ld)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter-out %.ld,$^) $(LDLIBS)

$(BUILD)/sluice: private LINK_LTO = $(if $(LTO),-flto=auto -O3 -ffunction-sections $$(test -s $(BUILD)/sluice.ld && echo -Wl,-T,$(BUILD)/sluice.ld))

# The linker's own script, with the functions that every request passes in front: they then
# lie on half as many pages. Empty for a linker that does not show its script.
$(BUILD)/sluice.ld: src/request.order $(BUILD)/flags
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,--verbose 2>/dev/null | awk -v order=$< \
		'/^=====/ { inside = !inside; next } \
		 inside && /\*\(\.text\.unlikely/ { while ((getline name <order) > 0) \
			printf "    *(.text.%s .text.%s.*)\n", name, name } \
		 inside' >$@
$(filter $(LTO_IN:%=$(BUILD)/obj/src/%/%.o),$(OBJ)): private ALL_CFLAGS += -flto=auto -ffat-lto-objects
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The catalogue is in the binary as it is (.incbin).
$(BUILD)/obj/src/model/catalog_text.o: catalog/models.csv

# So are the classifier's weights.
$(BUILD)/obj/src/routing/classify.o: src/routing/classifier_weights.bin
$(BUILD)/obj/src/routing/model_heads.o: src/routing/model_weights.bin

# Vocabularies of the OpenAI encodings, where tools/vocabulary has fetched them, as
# tables inside the binary. Without them the tables are empty.
VOCABULARY   ?= build/vocabulary
VOCABULARIES := o200k_base cl100k_base
$(BUILD)/bpe_compile: tools/bpe_compile.c src/tokens/bpe_table.h
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -std=c17 -D_GNU_SOURCE -Isrc $(WARN) -o $@ $<

define vocabulary_table
$(BUILD)/gen/$(1).bpe: $(BUILD)/bpe_compile $(wildcard $(VOCABULARY)/$(1).tiktoken)
	@mkdir -p $$(@D)
	@echo "  GEN   $$@"
	$(Q)$(BUILD)/bpe_compile $(VOCABULARY)/$(1).tiktoken $$@
endef
$(foreach name,$(VOCABULARIES),$(eval $(call vocabulary_table,$(name))))
$(BUILD)/obj/src/tokens/vocabulary.o: $(VOCABULARIES:%=$(BUILD)/gen/%.bpe)
$(BUILD)/obj/src/tokens/vocabulary.o: private ALL_CFLAGS += -DSL_VOCABULARY_DIR='"$(BUILD)/gen"'

# Debian ships llhttp as C sources (package node-llhttp); its code is compiled
# as it is, without our warnings. Strict mode is off by default there; without
# it any two bytes may stand where a chunk's CR LF belongs.
$(BUILD)/obj/llhttp/%.o: /usr/share/llhttp/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASEFLAGS) $(OPT_$(VARIANT)) -w -c -o $@ $<

# Changes when the compiler or its flags do, so that nothing stale is linked.
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@printf '%s\n' '$(CC) $(ALL_CFLAGS) $(LTO_IN)' | cmp -s - $@ || \
		printf '%s\n' '$(CC) $(ALL_CFLAGS) $(LTO_IN)' >$@
FORCE:

# A unit test may include the .c file it tests; the linker then takes the
# test's copy, because everything else comes from an archive.
$(BUILD)/libsluice.a: $(OBJ) $(LLHTTP)
	@rm -f $@
	@echo "  AR    $@"
	$(Q)ar rcs $@ $^

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libsluice.a
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -o $@ $< $(ALL_LDFLAGS) $(BUILD)/libsluice.a $(LDLIBS) -lcmocka

unit-build: $(TESTS)
unit: $(TESTS)
	@for t in $(TESTS); do $$t || exit 1; done

# Every fuzz target: first the committed corpus and the inputs that once failed, then
# FUZZ_RUNS new ones from FUZZ_SEED. The same commit is to give the same verdict: nothing
# is kept from the run before, addresses are the same in each, and no operand of a
# comparison, which may be an address, goes into an input. Only what serves or calls over
# a socket (h1, h2, h1_reply) takes other paths at other times.
# FUZZ_SECONDS=120 looks for that long from a new seed. What is found stays under build/.
FUZZ_SEED    ?= 1
FUZZ_RUNS    ?= 20000
FUZZ_SECONDS ?=
FUZZ_LIMIT   := $(if $(FUZZ_SECONDS),-max_total_time=$(FUZZ_SECONDS),-seed=$(FUZZ_SEED) -runs=$(FUZZ_RUNS) -max_total_time=30 -use_cmp=0)
FUZZ_FOUND   := $(if $(FUZZ_SECONDS),found,new)
FUZZ_BUILD := build/fuzz
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
FUZZ_RUN   ?= $(FUZZ_NAMES)
FUZZ_FLAGS := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

fuzz-build:
	$(Q)$(MAKE) --no-print-directory CC=clang-14 VARIANT=fuzz BUILD=$(FUZZ_BUILD) \
		OPT_fuzz="$(FUZZ_FLAGS)" $(FUZZ_NAMES:%=$(FUZZ_BUILD)/bin/%)

fuzz: fuzz-build
	@set -e; for name in $(FUZZ_RUN); do \
		$(if $(FUZZ_SECONDS),,rm -rf $(FUZZ_BUILD)/new/$$name;) \
		mkdir -p $(FUZZ_BUILD)/$(FUZZ_FOUND)/$$name; echo "  FUZZ  $$name"; \
		fixed=; if setarch -R true 2>/dev/null; then fixed="setarch -R"; fi; \
		known=$$(for d in tests/fuzz/regressions/$$name tests/fuzz/corpus/$$name; do \
			if [ -d $$d ]; then echo $$d; fi; done); \
		$$fixed $(FUZZ_BUILD)/bin/$$name $(FUZZ_LIMIT) -timeout=25 -rss_limit_mb=1024 \
			-artifact_prefix=$(FUZZ_BUILD)/$$name- \
			$(FUZZ_BUILD)/$(FUZZ_FOUND)/$$name $$known >$(FUZZ_BUILD)/$$name.log 2>&1 || { \
			tail -n 60 $(FUZZ_BUILD)/$$name.log; \
			echo "fuzz target $$name failed; the input is in $(FUZZ_BUILD)/$$name-*"; exit 1; }; \
	done

$(FUZZ_BUILD)/bin/%: tests/fuzz/%_fuzz.c $(wildcard tests/fuzz/*.h tests/*.h) $(BUILD)/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -Itests -o $@ $< $(ALL_LDFLAGS) $(BUILD)/libsluice.a $(LDLIBS)

# Against nginx and HAProxy in one run; see docs/performance.md.
bench bench-quick: $(BUILD)/sluice $(BUILD)/bench/load $(BUILD)/bench/upstream
	@bench/run $(if $(filter bench-quick,$@),--quick)

# The ledger's sources again, with bugs that can be switched on: what proves that
# the harness would see one. CRASH_KILLS random kills of the ledger alone and
# CRASH_GATEWAY_KILLS of the gateway under traffic (1000 each for the long run, with
# CRASH_FLAGS=--thorough for every single write instead of every fifth).
CRASH_KILLS ?= 120
CRASH_FLAGS ?=
CRASH_LEDGER := $(wildcard src/store/journal*.c src/ledger/money*.c)
CRASH_SRC := $(CRASH_LEDGER) tests/crash/crash.c tests/crash/disk.c
CRASH_GATEWAY_KILLS ?= 20
$(BUILD)/crash/crash-driver: $(CRASH_SRC) $(wildcard tests/crash/*.h) tests/money_harness.h $(BUILD)/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_CFLAGS) -U_FORTIFY_SOURCE -include tests/crash/planted.h -o $@ $(CRASH_SRC) \
		$(ALL_LDFLAGS) $(BUILD)/libsluice.a $(LDLIBS)

# The gateway itself; SLUICE_PLANT in its environment switches a bug on.
$(BUILD)/crash/sluice: $(CRASH_LEDGER) tests/crash/planted.c tests/crash/planted.h $(BUILD)/obj/src/app/main.o $(BUILD)/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_CFLAGS) -U_FORTIFY_SOURCE -include tests/crash/planted.h -o $@ $(CRASH_LEDGER) \
		tests/crash/planted.c $(BUILD)/obj/src/app/main.o $(ALL_LDFLAGS) $(BUILD)/libsluice.a $(LDLIBS)

crash: $(BUILD)/crash/crash-driver $(BUILD)/crash/sluice
	$(Q)$(PYTHON) tests/crash/run.py $(BUILD)/crash/crash-driver --kills $(CRASH_KILLS) \
		--gateway $(abspath $(BUILD)/crash/sluice) --gateway-kills $(CRASH_GATEWAY_KILLS) $(CRASH_FLAGS)

# Microbenchmark of the JSON scanner.
bench-failover: $(BUILD)/sluice
	@bench/failover

bench-json: $(BUILD)/bench/json_bench
	$<

$(BUILD)/bench/%: bench/%.c $(wildcard bench/*.h) $(BUILD)/libsluice.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(ALL_LDFLAGS) $(BUILD)/libsluice.a $(LDLIBS)

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(BUILD)/obj/src/app/main.d $(TESTS:%=%.d)
