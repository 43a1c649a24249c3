/* main.c - the binary's entry. */
#include <stdio.h>

int
main(void)
{
	puts("sluice");
	return 0;
}
