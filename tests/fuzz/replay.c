// SPDX-License-Identifier: MIT
/*
 * replay.c: what libFuzzer does with a corpus, without libFuzzer, so that any compiler's build and
 * every run of the tests can: each file goes into the entry, then variants of it, always the same
 * ones for the same seed: cut off, with bytes changed, doubled, and put together with another.
 *
 * usage: replay FOLDER      QUIRE_SEED, and QUIRE_FUZZ_ROUNDS variants of each file
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES 256
#define BYTES (1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct file {
	uint8_t *data;
	size_t size;
} file[FILES];

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static size_t collect(const char *folder)
{
	struct dirent **entry;
	int entries = scandir(folder, &entry, NULL, alphasort);
	char path[4096];
	size_t n = 0;

	for (int i = 0; i < entries; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", folder, entry[i]->d_name);
		f = entry[i]->d_name[0] == '.' || n == FILES ? NULL : fopen(path, "re");
		free(entry[i]);
		if (!f)
			continue;
		file[n].data = malloc(BYTES);
		if (file[n].data)
			file[n].size = fread(file[n].data, 1, BYTES, f);
		fclose(f);
		n += file[n].data != NULL;
	}
	if (entries >= 0)
		free(entry);
	return n;
}

/* A copy of its own size, so that a sanitizer sees what reads beyond it. */
static void feed(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static size_t vary(uint8_t *to, const struct file *from, const struct file *other, uint64_t *seed)
{
	size_t size = from->size, tail, edits = 1 + next(seed) % 4;

	memcpy(to, from->data, size);
	switch (next(seed) % 4) {
	case 0: /* cut off */
		size = size ? next(seed) % size : 0;
		break;
	case 1: /* the end of another one */
		tail = other->size ? next(seed) % other->size : 0;
		size = size ? next(seed) % size : 0;
		memcpy(to + size, other->data + other->size - tail, tail);
		size += tail;
		break;
	case 2: /* some of it twice */
		tail = size ? next(seed) % size : 0;
		memmove(to + size, to + size - tail, tail);
		size += tail;
		break;
	default:
		break;
	}
	while (size && edits--)
		to[next(seed) % size] = next(seed) % 3 ? (uint8_t)next(seed)
						       : (uint8_t) "0-9\t\n, =x\\"[next(seed) % 11];
	return size;
}

int main(int argc, char **argv)
{
	uint64_t seed = number("QUIRE_SEED", 20261121);
	uint64_t rounds = number("QUIRE_FUZZ_ROUNDS", 300);
	static uint8_t varied[2 * BYTES];
	size_t n = argc == 2 ? collect(argv[1]) : 0;

	printf("# QUIRE_SEED=%llu QUIRE_FUZZ_ROUNDS=%llu, %zu files\n", (unsigned long long)seed,
	       (unsigned long long)rounds, n);
	printf("1..1\n");
	fflush(stdout);
	if (!n) {
		printf("not ok 1 - there is a corpus\n");
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		feed(file[i].data, file[i].size);
	for (size_t i = 0; i < n; i++)
		for (uint64_t r = 0; r < rounds; r++)
			feed(varied, vary(varied, &file[i], &file[next(&seed) % n], &seed));
	for (size_t i = 0; i < n; i++)
		free(file[i].data);
	rounds *= n;
	printf("ok 1 - %zu files and %llu variants, each answered\n", n,
	       (unsigned long long)rounds);
	return 0;
}
