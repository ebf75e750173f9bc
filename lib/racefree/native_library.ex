defmodule Racefree.NativeLibrary do
  # What a native library of ours is called, where it lies, and whether a file is one.
  #
  # A name carries the version and the machine, so a library that was left behind by another version, or that another machine built in a shared
  # checkout, is not found rather than loaded. Left out on purpose: loading, which a module can do for itself only.
  @moduledoc false

  @version Mix.Project.config()[:version]

  @type crate :: :racefree_nif | :racefree_lint_nif
  @type flaw :: :missing | :foreign | {:version, String.t()}

  @doc "The version that a library must be of."
  @spec version() :: String.t()
  def version, do: @version

  @doc "The path that `:erlang.load_nif/2` wants: that of the library without its extension."
  @spec load_path(crate) :: charlist
  def load_path(:racefree_nif) do
    # A release has `priv`, and nothing else beside the code.
    :racefree |> :code.priv_dir() |> Path.join("native") |> to_load_path(:racefree_nif)
  end

  def load_path(:racefree_lint_nif) do
    :racefree |> :code.lib_dir() |> Path.join("lint") |> to_load_path(:racefree_lint_nif)
  end

  defp to_load_path(folder, crate), do: folder |> Path.join(stem(crate)) |> String.to_charlist()

  @doc "The library's name in the folder it is loaded from."
  @spec file_name(crate) :: String.t()
  def file_name(crate), do: stem(crate) <> extension()

  defp stem(crate), do: "#{crate}-#{@version}-#{machine()}"

  @doc "Whether `name` is that of a library of this machine for another version."
  @spec outdated?(String.t(), crate) :: boolean
  def outdated?(name, crate) do
    String.starts_with?(name, "#{crate}-") and
      String.ends_with?(name, "-#{machine()}#{extension()}") and
      name != file_name(crate)
  end

  @doc "What cargo calls the library that it builds."
  @spec artifact_name(crate) :: String.t()
  def artifact_name(crate) do
    case :os.type() do
      {:win32, _} -> "#{crate}.dll"
      {:unix, :darwin} -> "lib#{crate}.dylib"
      _ -> "lib#{crate}.so"
    end
  end

  # `:erlang.load_nif/2` adds `.so` on macOS too.
  defp extension, do: if(match?({:win32, _}, :os.type()), do: ".dll", else: ".so")

  defp machine, do: List.to_string(:erlang.system_info(:system_architecture))

  @doc """
  Checks that the file at `path` is `crate` of this version.

  Each library has a marker in its data, `<CRATE VERSION>`, that can be read without loading the library.
  """
  @spec check(Path.t(), crate) :: :ok | {:error, flaw}
  def check(path, crate) do
    marker = "<#{crate} "

    with {:ok, bytes} <- File.read(path),
         {start, length} <- :binary.match(bytes, marker),
         rest = binary_part(bytes, start + length, min(64, byte_size(bytes) - start - length)),
         [version, _] <- :binary.split(rest, ">") do
      if version == @version, do: :ok, else: {:error, {:version, version}}
    else
      {:error, _} -> {:error, :missing}
      _ -> {:error, :foreign}
    end
  end
end
