//@ must <err.h> <string.h>
/* An operation of the setup: without it nothing is shown. */
static void must(const char *text, long long want, long long got)
{
	if ((got < 0 ? -out.err : 0) != want)
		errx(77, "setup: %s: %s", text, strerror(out.err));
}

//@ apart <err.h> <stdio.h> <stdlib.h> <sys/wait.h> <unistd.h>
/* In a process of its own, which takes its open files and ids with it. */
static void apart(void (*work)(void))
{
	pid_t child = fork();
	int status;

	if (!child) {
		work();
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		errx(77, "no process");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

//@ turns <unistd.h>
/* A worker's turn comes by a byte in its pipe. */
static int turns[WORKERS][2];

//@ await_turn <unistd.h>
static void await_turn(int worker)
{
	char byte;

	if (read(turns[worker][0], &byte, 1) != 1)
		_exit(1);
}

//@ pass_turn <unistd.h>
static void pass_turn(int worker)
{
	if (write(turns[worker][1], "", 1) != 1)
		_exit(1);
}

//@ make_turns <err.h> <unistd.h>
static void make_turns(void)
{
	int i;

	for (i = 0; i < WORKERS; i++)
		if (pipe(turns[i]))
			errx(77, "no pipe");
}

//@ run_workers <err.h> <signal.h> <stdio.h> <stdlib.h> <sys/mman.h> <sys/wait.h> <unistd.h>
/* One process a worker; they start together. */
static void run_workers(void (*const work[])(void))
{
	int gate[2], status, i, ended = 0;
	pid_t pids[WORKERS], pid;
	char byte;

	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (verdict == MAP_FAILED || pipe(gate))
		errx(77, "no memory");
	for (i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			errx(77, "no process");
		if (pids[i])
			continue;
		close(gate[1]);
		if (read(gate[0], &byte, 1))
			_exit(1);
		work[i]();
		exit(0);
	}
	close(gate[0]);
	close(gate[1]);
	while ((pid = wait(&status)) > 0) {
		if (ended || (WIFEXITED(status) && !WEXITSTATUS(status)))
			continue;
		ended = 1;
		snprintf(here, sizeof(here), "process %d", pid);
		differs("expected exit 0, saw %s %d", WIFSIGNALED(status) ? "signal" : "exit",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		/* Nobody passes its turns on. */
		for (i = 0; i < WORKERS; i++)
			if (pids[i] != pid)
				kill(pids[i], SIGKILL);
	}
}
