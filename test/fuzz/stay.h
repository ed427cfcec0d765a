/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a connection may not leave behind in this process: descriptors and mappings of guests'
 * files. Cheap, since it is asked for after each input.
 */
#ifndef FUZZ_STAY_H
#define FUZZ_STAY_H

/** What there is now is no connection's: before each input, since libFuzzer opens some, too. */
void stay_begin(void);

/** Close descriptors that weren't there at the beginning. @return how many */
unsigned int stay_close_fds(void);

/** Mappings are as many as at the beginning, or the program ends. */
void stay_check_maps(void);

#endif
