/* options_doc.c - writes the reference of the options into a Markdown file.
 *
 * Reads the file named and prints it with everything between the two marker
 * lines replaced by the tables of the option table.
 */
#include <stdio.h>
#include <string.h>

#include "app/options.h"

#define BEGIN "<!-- options: written by `make docs` -->"
#define END   "<!-- end of options -->"

int
main(int argc, char **argv)
{
	struct sl_buf tables;
	bool inside = false, found = false;
	char line[4096];
	FILE *file;

	if (argc != 2 || !(file = fopen(argv[1], "r"))) {
		fprintf(stderr, "usage: options-doc FILE\n");
		return 2;
	}
	sl_buf_init(&tables, 1024 * 1024);
	sl_options_print_markdown(&tables);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, END, strlen(END)) == 0)
			inside = false;
		if (!inside)
			fputs(line, stdout);
		if (strncmp(line, BEGIN, strlen(BEGIN)) == 0) {
			inside = found = true;
			printf("\n%.*s", (int)tables.len, tables.ptr);
		}
	}
	fclose(file);
	sl_buf_release(&tables);
	return found && !inside ? 0 : 1;
}
