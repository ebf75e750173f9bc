defmodule Mix.Tasks.Compile.RacefreeNative do
  @moduledoc """
  Builds the native half of Racefree, so that it can be loaded from `priv/native`.

  Racefree's own `mix.exs` lists this compiler; a project that depends on Racefree has nothing to do. It needs
  [Rust](https://rustup.rs), and runs cargo only when the sources, the tools or the settings below have changed. Cargo's
  errors and warnings are diagnostics of mix, so editors show them.

  ## Environment

    * `RACEFREE_NIF_PATH` - a library that is built already, of exactly this version. It is copied, and cargo is not needed.
    * `RACEFREE_CARGO_PROFILE` - the profile to build with, `release` if not set.
    * `CARGO_TARGET_DIR` - where cargo works; if not set, `target` in Racefree's folder, for all projects and environments.

  The linter's library is another one, and never part of a release: see `Mix.Tasks.Lint.Races`.

  ## Command line options

    * `--force` - runs cargo even if nothing seems to have changed
    * `--warnings-as-errors` - a warning of cargo fails the compilation
    * `--all-warnings` - shows the warnings of the last build again
  """

  @shortdoc "Builds the native half of Racefree"

  use Mix.Task.Compiler

  # For each application of an umbrella, not for the umbrella.
  @recursive true

  alias Racefree.NativeBuild

  @impl true
  def run(arguments) do
    {status, diagnostics} = NativeBuild.run(build(), force: "--force" in arguments)

    if status == :noop and "--all-warnings" in arguments do
      for diagnostic <- diagnostics, do: IO.puts(:stderr, diagnostic.message)
    end

    if status != :error and diagnostics != [] and "--warnings-as-errors" in arguments do
      Mix.shell().error(
        "== Racefree: the native code has warnings, and --warnings-as-errors was given"
      )

      {:error, diagnostics}
    else
      {status, diagnostics}
    end
  end

  @impl true
  def manifests, do: [manifest()]

  # A callback from Elixir 1.15 on.
  if {:diagnostics, 0} in Mix.Task.Compiler.behaviour_info(:callbacks), do: @impl(true)
  @doc false
  def diagnostics, do: NativeBuild.diagnostics(build())

  # Without help from another module: the Elixir compiler, which comes before, has removed them all.
  @impl true
  def clean do
    File.rm(manifest())
    for path <- Path.wildcard(Path.join(folder(), "racefree_nif-*")), do: File.rm(path)
    :ok
  end

  defp build do
    %NativeBuild{
      crate: :racefree_nif,
      root: File.cwd!(),
      folder: folder(),
      manifest: manifest()
    }
  end

  # Where the application finds it; mix makes `priv` a link to that of the sources, or a copy.
  defp folder, do: Path.join(Mix.Project.app_path(), "priv/native")

  defp manifest, do: Path.join(Mix.Project.manifest_path(), "compile.racefree_native")
end
