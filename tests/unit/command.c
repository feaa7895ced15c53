/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *command;
void (*command_in_child)(void);
static char folder[] = "/tmp/test-squeeze-XXXXXX";

void folder_make(void)
{
	assert_non_null(mkdtemp(folder));
}

int folder_remove(const char *const names[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		unlink(path(names[i]));
	unlink(path("out"));
	unlink(path("err"));
	return rmdir(folder);
}

const char *path(const char *name)
{
	static char text[4][128];
	static unsigned turn;
	char *p = text[turn++ % 4];

	snprintf(p, sizeof(text[0]), "%s/%s", folder, name);
	return p;
}

unsigned files_like(const char *start)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += !strncmp(entry->d_name, start, strlen(start));
	closedir(dir);
	return n;
}

char *slurp(const char *name)
{
	size_t size = 0, n;
	char *text = NULL;
	FILE *f = fopen(name, "r");

	assert_non_null(f);
	do {
		text = realloc(text, size + 65537);
		assert_non_null(text);
		n = fread(text + size, 1, 65536, f);
		size += n;
	} while (n);
	fclose(f);
	text[size] = '\0';
	return text;
}

void spit(const char *name, const void *data, size_t n)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

int wait_for(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void split(char *line, char *argv[COMMAND_ARGS])
{
	static char empty[] = "";
	int n = 0;

	argv[n++] = (char *)(uintptr_t)command;
	for (char *w = strtok(line, " "); w && n < COMMAND_ARGS - 1; w = strtok(NULL, " "))
		argv[n++] = strcmp(w, "''") ? w : empty;
	argv[n] = NULL;
}

struct outcome run(const char *format, ...)
{
	char line[1024], out[128], err[128], *argv[COMMAND_ARGS];
	struct outcome o;
	va_list args;
	pid_t child;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	split(line, argv);
	snprintf(out, sizeof(out), "%s/out", folder);
	snprintf(err, sizeof(err), "%s/err", folder);
	fflush(NULL);
	child = fork();
	if (!child) {
		if (!freopen(out, "w", stdout) || !freopen(err, "w", stderr))
			_exit(99);
		if (command_in_child)
			command_in_child();
		execv(command, argv);
		_exit(99);
	}
	o.status = wait_for(child);
	o.out = slurp(out);
	o.err = slurp(err);
	return o;
}

void done(struct outcome *o)
{
	free(o->out);
	free(o->err);
}

unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

size_t make_layout(char *text, size_t size, unsigned blocks)
{
	uint64_t x = 1;
	size_t n = 0;

	for (unsigned b = 0; b < blocks; b++) {
		for (unsigned i = 0; i < 512; i += 8) {
			unsigned base = (b * 3 + 7) * 512 + i;

			x = x * 6364136223846793005u + 1442695040888963407u;
			switch (x >> 61) {
			case 0:
				n += (size_t)snprintf(text + n, size - n, "%x 3 1\n", base);
				break;
			case 1:
				n += (size_t)snprintf(text + n, size - n, "%x 2 0\n%x 0 1\n", base,
						      base + 6);
				break;
			case 2:
			case 3:
			case 4:
				n += (size_t)snprintf(text + n, size - n, "%x 0 1\n%x 1 2\n",
						      base + 1, base + 4);
				break;
			default:
				break;
			}
			assert_true(n + 64 < size);
		}
	}
	return n;
}

json_t *get(json_t *o, const char *key)
{
	json_t *value = json_object_get(o, key);

	if (!value)
		print_error("no key %s\n", key);
	assert_non_null(value);
	return value;
}

long long whole(json_t *o, const char *key)
{
	json_t *value = get(o, key);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

double real(json_t *o, const char *key)
{
	json_t *value = get(o, key);

	assert_true(json_is_number(value));
	return json_number_value(value);
}
