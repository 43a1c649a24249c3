/* agent_book.h - what the gateway saw of each agent: its answers and its auctions.
 *
 * A bounded table by name; an agent that finds no room stays a newcomer. shared: locked,
 * briefly. In memory only: after a restart everybody is new again.
 */
#ifndef SL_PIPELINE_AGENT_BOOK_H
#define SL_PIPELINE_AGENT_BOOK_H

#include "base/slice.h"
#include "routing/auction.h"

struct sl_agent_book;

struct sl_agent_book *sl_agent_book_new(void);
void sl_agent_book_free(struct sl_agent_book *book);
/* Fills quality_ppm and won_ppm by the agent's name. book NULL: a newcomer's. */
void sl_agent_book_look(struct sl_agent_book *book, struct sl_agent *agent);
/* It answered, well or not. */
void sl_agent_book_answer(struct sl_agent_book *book, struct sl_slice name, bool good);
/* It took part in an auction that was executed. */
void sl_agent_book_auction(struct sl_agent_book *book, struct sl_slice name, bool won);

#endif
