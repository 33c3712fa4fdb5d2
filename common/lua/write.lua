-- SPDX-License-Identifier: MIT
-- write: for every script that changes something except submit.
--
-- At maxmemory Redis refuses commands that allocate, unless the script has written before with one
-- that does not. So leases are renewed and jobs completed on a full server; only submits wait.
call('DEL', P .. 'oom')
