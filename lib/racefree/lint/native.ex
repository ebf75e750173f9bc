defmodule Racefree.Lint.Native do
  # The functions of `native/racefree_lint_nif`. Each says here what it is called and how many arguments it takes, and nothing else.
  #
  # There is no `@on_load`: a release has this module and not its library, and would not start.
  @moduledoc false

  @doc "Loads the library. That it is loaded already is no error."
  @spec load() :: :ok | {:error, {atom, charlist}}
  def load do
    case :erlang.load_nif(Racefree.NativeLibrary.load_path(:racefree_lint_nif), 0) do
      {:error, {reason, _}} when reason in [:reload, :upgrade] -> :ok
      outcome -> outcome
    end
  end

  @spec version() :: String.t()
  def version, do: :erlang.nif_error(:not_loaded)

  @spec attached([binary], binary | nil) :: 0..3
  def attached(_arguments, _input), do: :erlang.nif_error(:not_loaded)

  @spec captured([binary], binary | nil) :: {0..3, binary, binary}
  def captured(_arguments, _input), do: :erlang.nif_error(:not_loaded)

  @spec decoded([binary]) :: {0..3, map | nil, binary}
  def decoded(_arguments), do: :erlang.nif_error(:not_loaded)
end
