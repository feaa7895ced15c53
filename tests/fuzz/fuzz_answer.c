/* SPDX-License-Identifier: MIT */
/*
 * fuzz_answer.c: libFuzzer's way into what `quire explain` makes of a server's words.
 */
#include <stdint.h>
#include <stdlib.h>

#include "answers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct answer answer;
	char err[256] = "";

	if (answer_parse((const char *)data, size, &answer, err, sizeof(err))) {
		if (message_wrong(err))
			abort();
	} else if (answer_wrong(&answer)) {
		abort();
	}
	return 0;
}
