defmodule Racefree.Lint do
  @moduledoc """
  The linter inside mix: what `racefree` on the command line does, for tasks and compilers.

  People use `mix lint.races` and the Mix compiler `:lint_races`, which call this module. It is for tools of mix: it
  builds the linter's library when that is missing, which needs [Rust](https://rustup.rs), and it is of no use in a
  release, which does not have that library.

  The first argument of a command line may be a command of `racefree` (`check`, `explain`, `rules`, `coverage`,
  `baseline`). If it is none, `check` is meant.

  ## Guarantees

    * The output of a command line, byte for byte, and its exit status are those of the command `racefree`.
    * Nothing of the project is compiled, loaded or run.
    * A failure of the analyser, however deep the code is nested, is an exit status and a message. It does not end the
      virtual machine, and it occupies no scheduler for ordinary processes.
    * Callers do not disturb each other: each run has its own threads and its own memory, which it gives back.

  ## Does not guarantee

    * That a report speaks of one state of the files. An editor saves `a.ex` and then `b.ex`; a run reads `a.ex`, the
      editor saves both, the run reads `b.ex`: it has seen the old one and the new one. The next run has not.
    * That relative paths mean what they meant when the run began. A process calls `run(["lib"])`, another one calls
      `File.cd!("elsewhere")` before the files are listed: the run lists `elsewhere/lib`. Mix itself changes the folder
      of all processes when it enters an application of an umbrella.
    * That a library that was built anew is used at once. The virtual machine keeps the one it has loaded.
  """

  alias Mix.Task.Compiler.Diagnostic
  alias Racefree.Lint.Native
  alias Racefree.{NativeBuild, NativeLibrary}

  @typedoc "0: nothing that fails, 1: findings, 2: bad usage, 3: the run could not take place."
  @type status :: 0..3

  @doc """
  Builds the library, if it is missing or its sources have changed, and loads it.

  Says on the error output what is wrong, and gives the same as diagnostics.
  """
  @spec prepare() :: :ok | {:error, [Diagnostic.t()]}
  def prepare do
    with {:ok, _} <- update(), do: load()
  end

  @doc false
  # Builds without loading, and names the library: what a run with this one has found, a run with another one may not find.
  @spec update() :: {:ok, term} | {:error, [Diagnostic.t()]}
  def update do
    build = build()

    case NativeBuild.run(build) do
      {:error, diagnostics} -> {:error, diagnostics}
      {_, _} -> {:ok, NativeBuild.identity(build)}
    end
  end

  defp load do
    case Native.load() do
      :ok ->
        :ok

      {:error, {_, reason}} ->
        refuse(
          "the linter at #{NativeLibrary.load_path(:racefree_lint_nif)} cannot be loaded: #{reason}"
        )
    end
  end

  defp refuse(words) do
    Mix.shell().error("== Racefree: #{words}")

    {:error,
     [
       %Diagnostic{
         file: nil,
         severity: :error,
         message: words,
         position: 0,
         compiler_name: "lint_races"
       }
     ]}
  end

  @doc """
  Runs a command line attached to standard output and error of this operating system process.

  `input` is what standard input says, for `--stdin-filename`.
  """
  @spec attached([String.t()], binary | nil) :: status
  def attached(arguments, input \\ nil), do: Native.attached(arguments, input)

  @doc "Runs a command line, and gives its exit status, its output and what it has to say about the run."
  @spec run([String.t()], binary | nil) :: {status, output :: binary, messages :: binary}
  def run(arguments, input \\ nil), do: Native.captured(arguments, input)

  @doc """
  Checks `paths` and gives the document that `--format json` writes, as maps with strings for keys.

  `options` are further arguments of `check`.
  """
  @spec check([Path.t()], [String.t()]) :: {:ok, map} | {:error, messages :: binary}
  def check(paths, options \\ []) do
    case Native.decoded(["check", "--format", "json"] ++ options ++ ["--"] ++ paths) do
      {status, document, _messages} when status in [0, 1] and is_map(document) -> {:ok, document}
      {_status, _document, messages} -> {:error, messages}
    end
  end

  @doc false
  # Beside `priv`, never in it: a release copies that.
  @spec build() :: NativeBuild.t()
  def build do
    app = Application.app_dir(:racefree)

    %NativeBuild{
      crate: :racefree_lint_nif,
      root: sources(),
      folder: Path.join(app, "lint"),
      manifest: Path.join(app, ".mix/compile.racefree_lint")
    }
  end

  # An application of an umbrella may leave the dependency to the umbrella's own list, and does not know its path.
  defp sources do
    if Mix.Project.config()[:app] == :racefree,
      do: File.cwd!(),
      else:
        Mix.Project.deps_paths()[:racefree] ||
          Path.expand("../..", __MODULE__.module_info(:compile)[:source] |> Path.dirname())
  end
end
