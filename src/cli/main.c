/* main.c - finds the command, starts and ends MPI around it, prints the one line of an error.
 *
 * The exit code is the or_status of the command (status.h):
 *
 *    0   done, or --help
 *    1   the work failed: memory, disk, numbers that are not finite
 *    2   the command line or the config is wrong: nothing was run
 *    3   a model, task, policy, trace or request file is refused; the message names it
 *   75   SIGUSR1 ended it in good order; eval and run go on with --resume (a scheduler may queue the job again)
 *   76   a rank is lost: it gave no sign of life, hangs, or sent what no rank sends; when one dies, the launcher
 *        may end the job first, with a code of its own
 */
#include "cli.h"

#include "threads.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In the order of the usage text. */
static const or_command *const commands[] = {
    &or_command_inspect,  &or_command_tokenize, &or_command_lens,  &or_command_trace,
    &or_command_train,    &or_command_eval,     &or_command_run,   &or_command_plan,
    &or_command_quantize, &or_command_bench,    &or_command_study, &or_command_report,
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* Whether several ranks of this host run on the same cores: the launcher started more than one and bound this
 * one to no share. */
static bool shares_cores(void)
{
    const char *ranks = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    return ranks && atoi(ranks) > 1 && or_threads_available() == (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Between two parallel loops threads wait for the next one: some 200 us awake, as waking one up takes
 * 35 us (a token of a 1.1B model has 500 such loops), then asleep. Where ranks share cores they sleep at once: a
 * thread that spins there keeps a core from one that works. OpenMP reads this before main() begins, so it is set
 * and the program starts once more. A choice of the user's own stands. */
static void set_waiting(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    if (shares_cores())
        setenv("OMP_WAIT_POLICY", "passive", 1);
    else
        setenv("GOMP_SPINCOUNT", "4000", 1);
    execv("/proc/self/exe", argv); /* returns only on failure: then it works as it is */
}

/* To stdout, as are the helps of the commands; errors go to stderr. */
static void print_usage(FILE *out)
{
    fprintf(out,
            "offramp %s: LLM inference as a pipeline over MPI, with early exits\n\n"
            "usage: [mpirun -n RANKS] offramp COMMAND [options]\n\ncommands:\n",
            OFFRAMP_VERSION);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\noptions of a command: offramp COMMAND --help\n");
}

/* The rank that the launcher gave this process (mpirun, srun), before MPI is started; 0 when there is none.
 * */
static int launched_rank(void)
{
    /* Open MPI's mpirun; any launcher that speaks PMIx; those of the older PMI (MPICH, Slurm) */
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value) return atoi(value);
    }
    return 0;
}

/* Prints the message of a failed call, on the one rank that has it: or_transport_agree() empties it on the
 * others. OR_STOPPED is no error, the command has said what there is to do. */
static void print_error(or_status status)
{
    if (status == OR_OK || status == OR_STOPPED || or_status_message()[0] == '\0') return;
    fflush(stdout);
    fprintf(stderr, "offramp: %s\n", or_status_message());
}

/* A command of one rank, without MPI: it runs the same where no launcher is installed. */
static or_status run_alone(const or_command *command, or_session *session)
{
    if (launched_rank() > 0) return OR_OK; /* started under mpirun: rank 0 does it */
    or_status status = command->run(session);
    print_error(status);
    return status;
}

/* A command of all ranks. While session->alone is set, nobody else knows of this rank's failure, and
 * MPI_Abort() is the only way to end the job: the launcher kills the rest and gives `status` as its exit
 * code. Otherwise all ranks have agreed on the failure and leave by the front door.
 *
 * SERIALIZED: MPI is called by this thread and by the watch's, one at a time; those of parallel loops never do. */
static or_status run_together(const or_command *command, or_session *session)
{
    int provided;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    or_status status = or_transport_open(&session->transport);
    session->alone = true;
    if (status == OR_OK && provided < MPI_THREAD_SERIALIZED)
        status = or_fail(OR_ERR_FAILED, "MPI cannot be used", NULL, "it grants thread level %d, expected %d",
                         provided, MPI_THREAD_SERIALIZED);
    if (status == OR_OK) {
        session->alone = false;
        session->rank = or_transport_rank(session->transport);
        status = or_session_keep_timeline(session, command->run(session));
    }
    print_error(status);
    if (status != OR_OK && session->alone) /* the others wait for messages that will not come */
        or_transport_abort(session->transport, status);
    or_transport_tell_end(session->transport, status);
    or_transport_close(session->transport);
    MPI_Finalize();
    return status;
}

/* Parsing comes before MPI: a wrong command line or --help needs no ranks. All ranks have the same command
 * line, so all end alike, and the launcher's rank 0 says why. */
int main(int argc, char **argv)
{
    set_waiting(argv);
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        /* no command at all is a mistake in a script, so not 0 */
        return argc > 1 ? OR_OK : OR_ERR_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("offramp %s\n", OFFRAMP_VERSION);
        return OR_OK;
    }
    const or_command *command = NULL;
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0) command = commands[i];
    if (!command) {
        if (launched_rank() == 0)
            fprintf(stderr, "offramp: unknown command: found \"%s\", see offramp --help\n", name);
        return OR_ERR_USAGE;
    }

    or_session session = {.argc = argc, .argv = argv, .command = command->name};
    bool helped = false;
    or_status status = command->parse(argc - 1, argv + 1, &helped);
    if (status != OR_OK && launched_rank() == 0) print_error(status);
    if (status == OR_OK && !helped)
        status = command->collective ? run_together(command, &session) : run_alone(command, &session);
    command->release();
    return (int)status;
}
