defmodule Mix.Tasks.Lint.Races do
  @moduledoc """
  Reports races between processes, each with the interleaving that loses.

      mix lint.races                     # the project, or all applications of an umbrella
      mix lint.races lib/my_app/router   # some of it
      mix lint.races explain nil_pid_call

  It reads source only: it works before the project compiles, and when it does not compile. What it is given, prints and
  ends with is what the command `racefree check` is given, prints and ends with; `mix lint.races --help` lists the options.
  Among them:

    * `--format FORMAT` - `text`, `oneline`, `json`, `sarif`, …
    * `--tier TIER`, `--fail-on TIER` - what to show, and what fails
    * `--only RULE`, `--except RULE`
    * `--staged`, `--diff REF` - findings in changed lines alone

  A first argument that is a command of `racefree` (`check`, `explain`, `rules`, `coverage`, `baseline`) runs that; to
  check a folder with such a name, write `./rules`.

  ## Exit status

    * 0 - no finding of the failing tier
    * 1 - findings of the failing tier or above
    * 2 - bad usage
    * 3 - the run could not take place

  ## The hook

      mix lint.races --install-hook [OPTION...]

  writes a pre-commit hook of git that runs `mix lint.races --staged OPTION...`, wherever this repository keeps its hooks.
  A hook that is there already, and not written by this task, is left alone.

  ## The linter's library

  Racefree is a dependency for development and tests:

      {:racefree, "~> 0.1", only: [:dev, :test], runtime: false}

  The linter is written in Rust. This task and the compiler `:lint_races` build it when they are first used, and again when
  its sources have changed: see `Mix.Tasks.Compile.RacefreeNative` for what that needs and what it can be told, with
  `RACEFREE_LINT_NIF_PATH` for a library that is built already. It lies beside the compiled code and not in `priv`, so a
  release does not carry it.
  """

  @shortdoc "Reports races between processes"

  use Mix.Task

  alias Racefree.Lint
  alias Racefree.Lint.{Hook, Input}

  @could_not_run 3

  @impl true
  def run(["--install-hook" | arguments]) do
    case Hook.install(arguments) do
      {:ok, path} -> Mix.shell().info("#{path} runs mix lint.races before each commit")
      {:error, words} -> fail(words)
    end
  end

  def run(["lsp" | _]) do
    # The virtual machine reads the standard input of this process.
    fail("the language server is the command `racefree lsp`, without mix")
  end

  def run(arguments) do
    case Lint.prepare() do
      :ok -> arguments |> Lint.attached(input(arguments)) |> finish()
      {:error, _} -> finish(@could_not_run)
    end
  end

  defp input(arguments) do
    if Enum.any?(arguments, &String.starts_with?(&1, "--stdin-filename")), do: Input.read()
  end

  defp fail(words) do
    Mix.shell().error("error: #{words}")
    finish(@could_not_run)
  end

  defp finish(0), do: :ok
  defp finish(status), do: exit({:shutdown, status})
end
