defmodule Racefree.NativeBuild do
  # Brings one native library up to date: by cargo when its sources or tools have changed, or from a prebuilt file.
  #
  # Invariant: a library is put in place by a rename, so who loads it, or has loaded it, sees a whole one. There is no lock: cargo has its own, and
  # whoever puts a library in place looks at the sources once more afterwards, so the last of several builds leaves what the sources say.
  # Left out on purpose: cross compilation. The library is for the machine on which mix runs.
  @moduledoc false

  alias Mix.Task.Compiler.Diagnostic
  alias Racefree.{Cargo, Manifest, NativeLibrary}

  @enforce_keys [:crate, :root, :folder, :manifest]
  defstruct @enforce_keys

  @typedoc """
  - `root`: the cargo workspace
  - `folder`: where the library goes
  - `manifest`: the file in which the state of the last build is kept
  """
  @type t :: %__MODULE__{
          crate: NativeLibrary.crate(),
          root: Path.t(),
          folder: Path.t(),
          manifest: Path.t()
        }

  @manifest_version 1
  @workspace_files ~w(Cargo.toml Cargo.lock .cargo/config.toml rust-toolchain rust-toolchain.toml)
  # Of a crate, these do not get into its library, and may be large.
  @not_built ~w(benches examples fuzz target tests)
  # Sources that change faster than they can be built are left to the next run.
  @attempts_max 3
  # What a killed run leaves behind. Older than this, nobody is going to rename it.
  @leftover_age_seconds 3600

  @doc "Builds what is out of date. `:force` asks cargo even when nothing seems to have changed."
  @spec run(t, force: boolean) ::
          Mix.Task.Compiler.status() | {Mix.Task.Compiler.status(), [Diagnostic.t()]}
  def run(build, options \\ []) do
    case System.get_env(variable(build.crate), "") do
      "" -> run_cargo(build, options)
      path -> run_prebuilt(build, Path.expand(path), options)
    end
  end

  @doc "What the last run had to say."
  @spec diagnostics(t) :: [Diagnostic.t()]
  def diagnostics(build), do: read_manifest(build).diagnostics

  @doc "The environment variable that names a finished library."
  @spec variable(NativeLibrary.crate()) :: String.t()
  def variable(:racefree_nif), do: "RACEFREE_NIF_PATH"
  def variable(:racefree_lint_nif), do: "RACEFREE_LINT_NIF_PATH"

  @doc "The folders of the workspace from which a library is made."
  @spec sources(NativeLibrary.crate()) :: [String.t()]
  def sources(:racefree_nif), do: ~w(native/racefree_core native/racefree_nif)
  def sources(:racefree_lint_nif), do: ~w(native/racefree_lint_nif lints priv/rules)

  @doc "What changes when another library is put in place; nil when there is none."
  @spec identity(t) :: term
  def identity(build), do: stamp(library(build))

  ## From a file

  defp run_prebuilt(build, path, options) do
    fingerprint = {:prebuilt, path, stamp(path)}
    manifest = read_manifest(build)

    with false <- up_to_date?(build, manifest, options) and manifest.fingerprint == fingerprint,
         :ok <- NativeLibrary.check(path, build.crate),
         :ok <- install(build, path) do
      finish(build, :ok, fingerprint, [])
    else
      true ->
        {:noop, manifest.diagnostics}

      {:error, flaw} when is_atom(flaw) or elem(flaw, 0) == :version ->
        refuse(build, flaw_words(build, path, flaw))

      {:error, {:install, reason}} ->
        refuse(build, install_words(build, reason))
    end
  end

  defp flaw_words(build, path, flaw) do
    what =
      case flaw do
        :missing ->
          "there is no file that can be read"

        :foreign ->
          "the file is no #{build.crate} of Racefree"

        {:version, version} ->
          "the library is of version #{version}, and this is Racefree #{NativeLibrary.version()}"
      end

    """
    #{variable(build.crate)} is #{path}, but #{what}.
    Set it to a library of this version (in a checkout of it: `cargo build --release --package #{build.crate}`), \
    or unset it to have cargo build the library here.\
    """
  end

  ## From the sources

  defp run_cargo(build, options) do
    manifest = read_manifest(build)
    current = fingerprint(build)

    if up_to_date?(build, manifest, options) and same?(manifest.fingerprint, current) do
      {:noop, manifest.diagnostics}
    else
      case Cargo.find(build.root) do
        {:ok, cargo} -> attempt(build, cargo, current, @attempts_max)
        {:error, problem} -> refuse(build, no_cargo_words(build, problem))
      end
    end
  end

  defp fingerprint(build),
    do: {:cargo, digest(build), Cargo.settings(build.root), Cargo.toolchain()}

  # Who has no cargo (any more) keeps a library that the sources say is right.
  defp same?({:cargo, sources, settings, _}, {:cargo, sources, settings, nil}), do: true
  defp same?(known, current), do: known == current

  defp attempt(build, cargo, current, attempts) do
    with {:ok, artifact, diagnostics} <- Cargo.build(cargo, build.crate, build.root),
         :ok <- install(build, artifact) do
      # Order: after the rename. Another mix may have built newer sources and put them in place in between, and ours replaced them.
      case fingerprint(build) do
        ^current -> finish(build, :ok, current, diagnostics)
        newer when attempts > 1 -> attempt(build, cargo, newer, attempts - 1)
        _ -> finish(build, :ok, nil, diagnostics)
      end
    else
      {:error, {:install, reason}} -> refuse(build, install_words(build, reason))
      {:error, diagnostics} -> finish(build, :error, nil, diagnostics)
    end
  end

  defp digest(build) do
    workspace =
      for name <- @workspace_files,
          path = Path.join(build.root, name),
          File.regular?(path),
          do: path

    crates =
      for folder <- sources(build.crate), path <- files(Path.join(build.root, folder)), do: path

    digest =
      Enum.reduce(workspace ++ crates, :erlang.md5_init(), fn path, context ->
        bytes = bytes(path)
        :erlang.md5_update(context, [path, 0, <<byte_size(bytes)::64>>, bytes])
      end)

    :erlang.md5_final(digest)
  end

  # A file that is gone by now is gone for cargo too.
  defp bytes(path) do
    case File.read(path) do
      {:ok, bytes} -> bytes
      {:error, _} -> ""
    end
  end

  defp files(folder) do
    case File.ls(folder) do
      {:ok, names} ->
        for name <- Enum.sort(names),
            name not in @not_built,
            path <- files(Path.join(folder, name)),
            do: path

      {:error, :enotdir} ->
        [folder]

      {:error, _} ->
        []
    end
  end

  defp no_cargo_words(build, problem) do
    wanted = Cargo.rust_version(build.root)

    """
    Racefree is partly written in Rust, and to build it, Rust #{wanted} or newer is needed#{problem_words(problem)}
    If somebody else builds it for this machine, set #{variable(build.crate)} to the finished library.\
    """
  end

  @rustup "https://rustup.rs"
  defp problem_words(:none),
    do: "; there is no cargo on this machine.\nInstall it: see #{@rustup}"

  defp problem_words({:broken, path}),
    do: "; #{path} is there, but does not run.\nTry `rustup default stable`, or see #{@rustup}"

  defp problem_words({found, _wanted}) do
    "; this machine has #{found}.\nUpdate it with `rustup update stable`, or see #{@rustup}"
  end

  ## Putting it in place

  defp up_to_date?(build, manifest, options) do
    library = stamp(library(build))
    not Keyword.get(options, :force, false) and library != nil and library == manifest.library
  end

  defp library(build), do: Path.join(build.folder, NativeLibrary.file_name(build.crate))

  defp stamp(path) do
    case File.stat(path, time: :posix) do
      {:ok, stat} -> {stat.inode, stat.size, stat.mtime}
      {:error, _} -> nil
    end
  end

  # The folder is shared between the environments of mix. One that finds what another has put there leaves it, so that neither sees a change.
  defp install(build, from) do
    if same_bytes?(from, library(build)), do: :ok, else: replace(build, from)
  end

  defp same_bytes?(one, other) do
    with {:ok, bytes} <- File.read(one), {:ok, others} <- File.read(other) do
      bytes == others
    else
      {:error, _} -> false
    end
  end

  defp replace(build, from) do
    name = "#{build.crate}-#{System.pid()}-#{System.unique_integer([:positive])}.tmp"
    temporary = Path.join(build.folder, name)

    # A virtual machine that runs has mapped the old file. Writing into that one would crash it; a rename leaves it alone.
    with :ok <- File.mkdir_p(build.folder),
         {:ok, _} <- File.copy(from, temporary),
         :ok <- NativeLibrary.check(temporary, build.crate),
         :ok <- File.rename(temporary, library(build)) do
      tidy(build)
    else
      {:error, reason} ->
        File.rm(temporary)
        {:error, {:install, reason}}
    end
  end

  defp tidy(build) do
    for name <- installed(build),
        superfluous?(build, name),
        do: File.rm(Path.join(build.folder, name))

    :ok
  end

  defp installed(build) do
    case File.ls(build.folder) do
      {:ok, names} -> Enum.filter(names, &String.starts_with?(&1, "#{build.crate}-"))
      {:error, _} -> []
    end
  end

  defp superfluous?(build, name) do
    NativeLibrary.outdated?(name, build.crate) or
      (String.ends_with?(name, ".tmp") and old?(Path.join(build.folder, name)))
  end

  defp old?(path) do
    case File.stat(path, time: :posix) do
      {:ok, stat} -> stat.mtime < System.os_time(:second) - @leftover_age_seconds
      {:error, _} -> false
    end
  end

  defp install_words(build, :foreign),
    do:
      "cargo has built no library with the mark of #{build.crate}; try `cargo clean` in #{build.root}"

  defp install_words(build, {:version, version}) do
    "cargo has built #{build.crate} #{version}, and this is Racefree #{NativeLibrary.version()}: Cargo.toml and mix.exs must agree"
  end

  defp install_words(build, reason),
    do: "cannot write #{library(build)}: #{:file.format_error(reason)}"

  ## What is kept

  # Written last: a run that ends before is repeated.
  defp finish(build, status, fingerprint, diagnostics) do
    library = if fingerprint, do: stamp(library(build))
    state = %{fingerprint: fingerprint, library: library, diagnostics: diagnostics}
    Manifest.write!(build.manifest, @manifest_version, state)
    {status, diagnostics}
  end

  defp read_manifest(build) do
    Manifest.read(build.manifest, @manifest_version) ||
      %{fingerprint: nil, library: nil, diagnostics: []}
  end

  defp refuse(build, words) do
    Mix.shell().error("== Racefree: #{words}")
    finish(build, :error, nil, [Cargo.diagnostic(:error, words)])
  end
end
